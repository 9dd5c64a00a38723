//! The speed-up by number of partitions, as a self-contained SVG.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::grid::Cell;
use super::report::{Report, Row};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
/// Margins of the plot: left, right, top, bottom.
const MARGINS: [f64; 4] = [64.0, 240.0, 56.0, 56.0];
/// Distinguishable for colour-blind readers (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555"];

/// Draws one line for each combination of processes, workers and guarantee: records a second, as a multiple of the
/// first combination with the fewest partitions.
pub fn chart(report: &Report) -> String {
    let mut partitions: Vec<i32> = report.rows.iter().map(|row| row.partitions).collect();
    partitions.sort_unstable();
    partitions.dedup();
    let mut lines: BTreeMap<(usize, usize, String), Vec<&Row>> = BTreeMap::new();
    for (row, cell) in report.rows.iter().filter_map(|row| Some((row, row.cell?))) {
        lines.entry((cell.processes, cell.workers, cell.guarantee.to_string())).or_default().push(row);
    }
    let base = lines.values().next().and_then(|rows| rows.first()).map_or(1.0, |row| row.records_per_second);
    let highest = lines.values().flatten().map(|row| row.records_per_second / base).fold(1.0, f64::max);
    let plot = Plot { partitions: &partitions, top: (highest * 1.1).max(1.2) };
    let mut svg = plot.frame(report, base);
    for (index, rows) in lines.values().enumerate() {
        plot.line(&mut svg, index, rows, base);
    }
    svg.push_str("</svg>\n");
    svg
}

struct Plot<'a> {
    partitions: &'a [i32],
    top: f64,
}

impl Plot<'_> {
    /// Numbers of partitions are at equal distances, because they are usually multiples.
    fn x(&self, partitions: i32) -> f64 {
        let [left, right, ..] = MARGINS;
        let index = self.partitions.iter().position(|count| *count == partitions).unwrap_or(0) as f64;
        let steps = (self.partitions.len().max(2) - 1) as f64;
        left + index / steps * (WIDTH - left - right)
    }

    fn y(&self, speed_up: f64) -> f64 {
        let [.., top, bottom] = MARGINS;
        HEIGHT - bottom - speed_up / self.top * (HEIGHT - top - bottom)
    }

    fn frame(&self, report: &Report, base: f64) -> String {
        let [left, right, top, bottom] = MARGINS;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
             <title>frostline: speed-up by number of partitions</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"{left}\" y=\"24\" font-size=\"15\" font-weight=\"600\">Speed-up by number of partitions</text>\n\
             <text x=\"{left}\" y=\"42\" fill=\"#555\">1 = {base:.0} records/s; medians of {} rounds; {} cores with the broker; {}</text>\n",
            report.rounds,
            report.machine.cores,
            escaped(&report.machine.processor)
        );
        let step = if self.top > 6.0 {
            2.0
        } else if self.top > 2.5 {
            1.0
        } else {
            0.5
        };
        let mut mark = 0.0;
        while mark <= self.top {
            let y = self.y(mark);
            // Writing into a string cannot fail, here and below.
            let _ = writeln!(
                svg,
                "<line x1=\"{left}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{mark}×</text>",
                WIDTH - right,
                left - 8.0,
                y + 4.0
            );
            mark += step;
        }
        for count in self.partitions {
            let x = self.x(*count);
            let y = HEIGHT - bottom + 20.0;
            let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{count}</text>");
        }
        let (x, y) = ((left + WIDTH - right) / 2.0, HEIGHT - 14.0);
        let _ =
            writeln!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" fill=\"#555\">partitions</text>");
        debug_assert!(top > 42.0, "room for the title");
        svg
    }

    fn line(&self, svg: &mut String, index: usize, rows: &[&Row], base: f64) {
        let colour = COLOURS[index % COLOURS.len()];
        let points: Vec<(f64, f64, &Row)> = rows
            .iter()
            .map(|row| (self.x(row.partitions), self.y(row.records_per_second / base), *row))
            .collect();
        let path: Vec<String> = points.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (x, y, row) in &points {
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"><title>{} partitions: {:.0} records/s</title></circle>",
                row.partitions, row.records_per_second
            );
        }
        let [_, right, top, _] = MARGINS;
        let (x, y) = (WIDTH - right + 20.0, top + 20.0 * index as f64);
        let name = rows.first().and_then(|row| row.cell).map(legend).unwrap_or_default();
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{}\">{name}</text>",
            x + 18.0,
            y + 10.0
        );
    }
}

fn legend(cell: Cell) -> String {
    let Cell { workers, processes, guarantee, .. } = cell;
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    format!(
        "{}, {}",
        count(workers, "worker"),
        match processes {
            1 => guarantee.to_string(),
            _ => format!("{processes} processes, {guarantee}"),
        }
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
