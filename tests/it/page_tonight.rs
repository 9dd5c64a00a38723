//! The page's view of the coming night: hourly observations of many stations, the map, and one station's curve.

use std::time::Duration;

use fantoccini::Locator;
use frostline::hourly::iso_time;
use frostline::outlook::{Distribution, Expected};
use serde_json::{Value, json};

use crate::accessibility;
use crate::evening::Evening;
use crate::page::until;
use crate::support::{Browser, http_get, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);

/// A visit to the view.
pub async fn look(browser: &Browser, port: u16, evening: &Evening) {
    let client = &browser.client;
    wait(port, evening);
    let frosty = evening.frosty(|spot| {
        let expected = expected(port, &spot.id);
        expected.temperature_c - expected.distribution.quantile(0.5)
    });
    same_arithmetic(client, port, &frosty.id).await;
    client.set_window_size(1440, 1100).await.unwrap();
    client.find(Locator::Css("#show-tonight")).await.unwrap().click().await.unwrap();
    let all = evening.stations.len().to_string();
    until("the stations of the night", async || {
        let found = script(client, "return document.documentElement.dataset.mapStations").await;
        (found == *all).then_some(())
    })
    .await;
    text_with(client, "#tonight-note", "1 silent for 4 hours: unknown").await;
    colours(client).await;
    limits(client, port).await;
    find(client, &frosty.name, &frosty.id).await;
    curve(client, port, &frosty.id).await;
    scores(client, port).await;
    shoot(browser).await;
    find(client, &evening.silent().id, &evening.silent().id).await;
    text_with(client, "#station .night-words", "Unknown: no observation since").await;
}

/// Waits until the daemon shows the newest observation of all.
fn wait(port: u16, evening: &Evening) {
    let time = iso_time(evening.time);
    wait_for("the outlooks", PATIENCE, || {
        let (_, body) = http_get(port, "/api/v1/outlooks?limit=-2.0", &[])?;
        let listed: Value = serde_json::from_str(&body).ok()?;
        let stations = listed["stations"].as_array()?;
        let newest = stations.iter().filter(|station| station["time"] == *time).count();
        (stations.len() == evening.stations.len() && newest + 1 == stations.len()).then_some(())
    });
}

/// What the daemon expects of the night at a station.
fn expected(port: u16, station: &str) -> Expected {
    let (_, body) = http_get(port, &format!("/api/v1/outlooks/{station}"), &[]).unwrap();
    let answer: Value = serde_json::from_str(&body).unwrap();
    serde_json::from_value(answer["expected"].clone()).unwrap()
}

async fn script(client: &fantoccini::Client, text: &str) -> Value {
    client.execute(text, vec![]).await.unwrap()
}

/// Waits for an element that holds a text.
pub async fn text_with(client: &fantoccini::Client, css: &str, wanted: &str) -> String {
    let look = format!("return document.querySelector({css:?})?.textContent ?? ''");
    until(&format!("{wanted:?} in {css}"), async || {
        let text = script(client, &look).await.as_str().unwrap_or_default().to_owned();
        text.contains(wanted).then_some(text)
    })
    .await
}

/// The page computes the chances and crossings that the daemon computes.
async fn same_arithmetic(client: &fantoccini::Client, port: u16, station: &str) {
    let (_, body) = http_get(port, &format!("/api/v1/outlooks/{station}"), &[]).unwrap();
    let answer: Value = serde_json::from_str(&body).unwrap();
    let expected = answer["expected"].clone();
    let steps: Vec<f64> = (0..19).map(|step| f64::from(step) * 0.5 - 6.0).collect();
    let mut nights = vec![expected.clone()];
    for (lowest, degrees) in
        [(None, None), (None, Some("C")), (Some(1.0), Some("F")), (Some(-1.5), Some("C"))]
    {
        nights.push(json!({ "quantiles_c": steps, "lowest_so_far_c": lowest, "reported_in": degrees }));
    }
    nights.push(json!({ "quantiles_c": vec![-2.6; 19], "lowest_so_far_c": -2.6 }));
    let limits: Vec<f64> = (0..40).map(|step| f64::from(step) * 0.35 - 8.0).collect();
    let text = "const [nights, expected, time, limits, done] = arguments;
        import('/distribution.js').then(({ chance, quantile, crossing }) => done([
            nights.map((night) => limits.map((limit) => chance(night, limit))),
            nights.map((night) => [0.001, 0.05, 0.37, 0.5, 0.9, 0.999].map((p) => quantile(night, p))),
            limits.map((limit) => crossing(expected, limit, Date.parse(time))),
        ]), (error) => done(String(error)));";
    let arguments = vec![json!(nights), expected.clone(), answer["time"].clone(), json!(limits)];
    let found = client.execute_async(text, arguments).await.unwrap();
    let close = |left: f64, right: &Value, what: &str| {
        let right = right.as_f64().unwrap_or_else(|| panic!("{what}: {right}, and {left} here"));
        assert!((left - right).abs() < 1e-9, "{what}: {left} and {right}");
    };
    for (at, night) in nights.iter().enumerate() {
        let night: Distribution = serde_json::from_value(night.clone()).unwrap();
        for (limit, chance) in limits.iter().zip(found[0][at].as_array().unwrap()) {
            close(night.chance(*limit), chance, &format!("night {at}, {limit} °C"));
        }
        for (probability, value) in
            [0.001, 0.05, 0.37, 0.5, 0.9, 0.999].iter().zip(found[1][at].as_array().unwrap())
        {
            close(night.quantile(*probability), value, &format!("night {at}, {probability}"));
        }
    }
    let expected: Expected = serde_json::from_value(expected).unwrap();
    let time = frostline::hourly::parse_time(answer["time"].as_str().unwrap()).unwrap();
    for (limit, at) in limits.iter().zip(found[2].as_array().unwrap()) {
        let seconds = at.as_f64().map(|at| at / 1_000.0);
        match (expected.crossing(*limit, time), seconds) {
            (Some(there), Some(here)) => {
                assert!((there as f64 - here).abs() <= 1.0, "{limit}: {there} {here}")
            }
            (there, here) => assert!(there.is_none() && here.is_none(), "{limit}: {there:?} {here:?}"),
        }
    }
}

/// The highest chance has its colour on the map, and what is unknown has its own.
async fn colours(client: &fantoccini::Client) {
    let text = "const [done] = arguments;
        (async () => {
            const { PALETTE } = await import('/points.js');
            const { colour } = await fetch('/api/v1/outlooks?limit=-2.0').then((answer) => answer.json()).then(({ stations }) => {
                const edges = [1, 5, 10, 20, 30, 40, 50, 70, 90];
                return { colour: PALETTE.light.chance[9 - edges.filter((edge) => stations[0].chance * 100 >= edge).length] };
            });
            const map = document.getElementById('map');
            const { data } = map.getContext('2d').getImageData(0, 0, map.width, map.height);
            const count = (hex) => {
                const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
                let found = 0;
                for (let at = 0; at < data.length; at += 4) if (Math.max(Math.abs(data[at] - r), Math.abs(data[at + 1] - g), Math.abs(data[at + 2] - b)) <= 5) found += 1;
                return found;
            };
            return [count(colour), count(PALETTE.light.unknown)];
        })().then(done, (error) => done(String(error)));";
    until("the colours on the map", async || {
        let found = client.execute_async(text, vec![]).await.unwrap();
        let count = |at: usize| found[at].as_u64().unwrap_or_else(|| panic!("{found}"));
        (count(0) >= 4 && count(1) >= 1).then_some(())
    })
    .await;
}

/// The limit moves, is kept, and can be in degrees Fahrenheit.
async fn limits(client: &fantoccini::Client, port: u16) {
    client.find(Locator::Css("#chances summary")).await.unwrap().click().await.unwrap();
    let unit = |unit: &str| format!("document.getElementById('unit-{unit}').click()");
    script(client, &unit("f")).await;
    assert_eq!(script(client, "return document.getElementById('limit-number').value").await, "28.4");
    text_with(client, "#chances-title", "28.4 °F or less").await;
    script(client, &unit("c")).await;
    let move_to = "const slider = document.getElementById('limit'); slider.value = '-6'; \
                   slider.dispatchEvent(new Event('input', { bubbles: true }))";
    script(client, move_to).await;
    text_with(client, "#chances-title", "−6.0 °C or less").await;
    assert_eq!(script(client, "return localStorage.getItem('frostline-limit')").await, "-6");
    let (_, body) = http_get(port, "/api/v1/outlooks?limit=-6", &[]).unwrap();
    let listed: Value = serde_json::from_str(&body).unwrap();
    let chance = |row: &Value| row["chance"].as_f64().filter(|chance| (0.02..0.98).contains(chance));
    let row = listed["stations"].as_array().unwrap().iter().position(|row| chance(row).is_some()).unwrap();
    let percent = format!("{} %", (chance(&listed["stations"][row]).unwrap() * 100.0).round());
    text_with(client, &format!("#chances-list tr:nth-child({}) td", row + 1), &percent).await;
    script(client, &move_to.replace("-6", "-2")).await;
    script(client, "document.querySelector('#chances').open = false").await;
}

/// Finds a station by what is typed, and opens it.
async fn find(client: &fantoccini::Client, typed: &str, id: &str) {
    let field = client.find(Locator::Css("#search-text")).await.unwrap();
    field.clear().await.unwrap();
    // Its name in small letters.
    field.send_keys(&typed.to_lowercase()).await.unwrap();
    text_with(client, "#search-found [role=option]", id).await;
    field.send_keys("\u{e007}").await.unwrap();
    text_with(client, "#station .station-head .mono", id).await;
}

/// The scores for the limit of the map, with a point of the diagram for each bin.
async fn scores(client: &fantoccini::Client, port: u16) {
    script(client, "document.querySelector('#score').open = true").await;
    text_with(client, "#score-note", "at 1 station").await;
    let (_, body) = http_get(port, "/api/v1/outlooks/score?limit=-2", &[]).unwrap();
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert!(answer["score"]["nights"].as_u64().unwrap() >= 2 && answer["is_current"] == true, "{body}");
    let bins = answer["score"]["reliability"].as_array().unwrap().len();
    let dots = script(client, "return document.querySelectorAll('#score .reliability .dot').length").await;
    assert_eq!(dots, bins, "{body}");
    text_with(client, "#score-parts td", &format!("{:.2} °C", answer["score"]["rmse"].as_f64().unwrap()))
        .await;
}

/// The curve, with a limit half way down to the expected lowest and the hour in which it is crossed.
async fn curve(client: &fantoccini::Client, port: u16, station: &str) {
    let (_, body) = http_get(port, &format!("/api/v1/outlooks/{station}"), &[]).unwrap();
    let answer: Value = serde_json::from_str(&body).unwrap();
    let expected: Expected = serde_json::from_value(answer["expected"].clone()).unwrap();
    let lowest = expected.distribution.quantile(0.5);
    assert!(expected.temperature_c - lowest > 0.4, "it does not become colder: {body}");
    // Zero has no sign on the page.
    let limit = (f64::midpoint(expected.temperature_c, lowest) * 10.0).round() / 10.0 + 0.0;
    let set = async |limit: f64| {
        let text = format!(
            "const field = document.getElementById('limit-number'); field.value = '{limit}'; \
             field.dispatchEvent(new Event('change'))"
        );
        script(client, &text).await;
        let shown = format!("{limit:.1} °C or less; lowest").replace('-', "−");
        text_with(client, "#station .night-words", &shown).await
    };
    let words = set(limit).await;
    assert!(words.contains(" % for ") && words.contains(" about "), "{words}");
    let parts = script(
        client,
        "const svg = document.querySelector('#station svg.night');
         return ['.line.observed', '.line.expected', '.band.expected', '.limit', '.dark-hours', '.crossing-dot']
             .filter((part) => !svg.querySelector(part))
             .concat(svg.getAttribute('aria-label').includes('is expected about') ? [] : ['words'])",
    )
    .await;
    assert_eq!(parts, json!([]), "parts that are missing: {words}");
    let crossed = async || {
        let at = "return Number(document.querySelector('#station .crossing-dot')?.dataset.at ?? 0)";
        script(client, at).await.as_f64().unwrap()
    };
    let before = crossed().await;
    let exact =
        expected.crossing(limit, frostline::hourly::parse_time(answer["time"].as_str().unwrap()).unwrap());
    assert!((before / 1_000.0 - exact.unwrap() as f64).abs() <= 1.5, "{before} {exact:?}");
    set(limit + 0.1).await;
    let after = crossed().await;
    assert!(after < before, "the higher limit is crossed earlier: {after} {before}");
    set(-2.0).await;
}

/// Phone width, dark and light. With `FROSTLINE_SCREENSHOTS=DIR` they are kept.
async fn shoot(browser: &Browser) {
    let client = &browser.client;
    let keep = std::env::var_os("FROSTLINE_SCREENSHOTS").map(std::path::PathBuf::from);
    for (name, width, height, is_dark) in [
        ("tonight-phone", 400, 1500, false),
        ("tonight-dark", 1440, 1000, true),
        ("tonight", 1440, 1000, false),
    ] {
        client.set_window_size(width, height).await.unwrap();
        let theme = format!(
            "if ((document.getElementById('theme').getAttribute('aria-pressed') === 'true') !== {is_dark}) \
             document.getElementById('theme').click(); window.scrollTo(0, 0);"
        );
        script(client, &theme).await;
        // It is drawn again for the new size.
        until(&format!("{name} to fit"), async || {
            let wide = script(client, "return document.documentElement.scrollWidth - innerWidth").await;
            (wide.as_i64() <= Some(0)).then_some(())
        })
        .await;
        accessibility::check(client, name).await;
        if let Some(dir) = &keep {
            tokio::time::sleep(Duration::from_millis(700)).await;
            std::fs::create_dir_all(dir).unwrap();
            std::fs::write(dir.join(format!("{name}.png")), client.screenshot().await.unwrap()).unwrap();
        }
    }
}
