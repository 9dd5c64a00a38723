//! The page: files inside of the program, under flat names.

use actix_web::{HttpRequest, HttpResponse};

/// Nothing from elsewhere, nothing inline.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Name, type, content.
type File = (&'static str, &'static str, &'static str);

const SCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: [File; 13] = [
    ("", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("app.js", SCRIPT, include_str!("page/app.js")),
    ("api.js", SCRIPT, include_str!("page/api.js")),
    ("chart.js", SCRIPT, include_str!("page/chart.js")),
    ("dom.js", SCRIPT, include_str!("page/dom.js")),
    ("lists.js", SCRIPT, include_str!("page/lists.js")),
    ("map.js", SCRIPT, include_str!("page/map.js")),
    ("pipeline.js", SCRIPT, include_str!("page/pipeline.js")),
    ("points.js", SCRIPT, include_str!("page/points.js")),
    ("station.js", SCRIPT, include_str!("page/station.js")),
    ("world.json", "application/json", include_str!("page/world.json")),
    ("icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];

/// One of the files, or the word that there is nothing.
pub(super) async fn file(request: HttpRequest) -> HttpResponse {
    let name = request.path().trim_start_matches('/');
    match FILES.iter().find(|(found, ..)| *found == name) {
        Some((_, content_type, text)) => HttpResponse::Ok().content_type(*content_type).body(*text),
        None => super::api::not_found("there is nothing under this path"),
    }
}
