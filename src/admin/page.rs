//! The page: files compiled into the program, under flat names.

/// No resources from other sites, no inline code.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page, the same for everyone and without a token.
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) text: &'static str,
}

const fn file(path: &'static str, content_type: &'static str, text: &'static str) -> File {
    File { path, content_type, text }
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

pub(super) static FILES: [File; 20] = [
    file("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    file("/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    file("/app.js", SCRIPT, include_str!("page/app.js")),
    file("/api.js", SCRIPT, include_str!("page/api.js")),
    file("/chart.js", SCRIPT, include_str!("page/chart.js")),
    file("/distribution.js", SCRIPT, include_str!("page/distribution.js")),
    file("/dom.js", SCRIPT, include_str!("page/dom.js")),
    file("/lists.js", SCRIPT, include_str!("page/lists.js")),
    file("/map.js", SCRIPT, include_str!("page/map.js")),
    file("/night.js", SCRIPT, include_str!("page/night.js")),
    file("/pipeline.js", SCRIPT, include_str!("page/pipeline.js")),
    file("/points.js", SCRIPT, include_str!("page/points.js")),
    file("/score.js", SCRIPT, include_str!("page/score.js")),
    file("/search.js", SCRIPT, include_str!("page/search.js")),
    file("/sources.js", SCRIPT, include_str!("page/sources.js")),
    file("/station.js", SCRIPT, include_str!("page/station.js")),
    file("/tonight.js", SCRIPT, include_str!("page/tonight.js")),
    file("/units.js", SCRIPT, include_str!("page/units.js")),
    file("/world.json", "application/json", include_str!("page/world.json")),
    file("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];
