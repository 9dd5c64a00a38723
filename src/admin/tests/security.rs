//! Who gets which answer.

use super::*;

const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::OPTIONS,
    Method::PATCH,
    Method::TRACE,
    Method::CONNECT,
];

/// Other ways to write a path, all of which a server may take for the same.
fn spellings(path: &str) -> Vec<String> {
    let replaced = |place: usize, byte: u8, by: &str| {
        let (before, after) = (&path[..place], &path[place + 1..]);
        format!("{before}{}{after}", by.replace("XX", &format!("{byte:02x}")))
    };
    let bytes = || path.bytes().enumerate().skip(1);
    let encoded = bytes().flat_map(|(place, byte)| ["%XX", "%25XX"].map(|by| replaced(place, byte, by)));
    let cased = bytes()
        .filter(|(_, byte)| byte.is_ascii_lowercase())
        .map(|(place, byte)| replaced(place, byte, &(byte as char).to_ascii_uppercase().to_string()));
    let segments = bytes().filter(|(_, byte)| *byte == b'/');
    let slashes = segments
        .flat_map(|(place, byte)| ["//", "/./", "/x/../", "\\", ";/"].map(|by| replaced(place, byte, by)));
    let around = [
        path.to_owned(),
        format!("/{path}"),
        format!("/.{path}"),
        format!("/x/..{path}"),
        format!("/%2e{path}"),
        format!("/app.js/..{path}"),
        format!("/health/live/..{path}"),
        format!("{path}/"),
        format!("{path}//"),
        format!("{path}/."),
        format!("{path}?x=1"),
        format!("{path};x"),
        format!("{path}%00"),
        format!("http://localhost:8080{path}"),
        path.to_uppercase(),
        path.bytes().map(|byte| if byte == b'/' { "/".into() } else { format!("%{byte:02X}") }).collect(),
    ];
    encoded.chain(cased).chain(slashes).chain(around).collect()
}

/// All paths of routes, with something in the place of their variables.
fn paths<'a>(routes: impl IntoIterator<Item = &'a routes::Route>) -> Vec<String> {
    let filled = |path: &str| {
        path.replace("{id}", "USW00003192").replace("{stage}", "alert").replace("{key:.+}", "a/b")
    };
    routes.into_iter().map(|(path, _)| filled(path)).collect()
}

#[actix_web::test]
async fn nothing_but_health_and_the_page_answers_without_the_token() {
    let server = server!(Some(TOKEN), Arc::new(|_| panic!("rules were changed without the token")));
    let health = paths(&routes::OPEN);
    let open = |status: u16, body: &[u8]| {
        status == 200
            && (page::FILES.iter().any(|file| file.text.as_bytes() == body)
                || body.starts_with(br#"{"status":"live"}"#)
                || body.starts_with(br#"{"status":"ready","partitions":0"#))
    };
    let guarded = paths(routes::GUARDED.iter().chain(&routes::STREAMS));
    let files = page::FILES.iter().map(|file| file.path.to_owned());
    let missing = ["/api/v1".into(), "/api".into(), "/api/v1/nothing".into(), "/nothing".into()];
    let mut asked = 0;
    for path in guarded.iter().cloned().chain(health.clone()).chain(files).chain(missing) {
        for target in spellings(&path) {
            if target.parse::<actix_web::http::Uri>().is_err() {
                continue;
            }
            for method in METHODS {
                let (status, body) =
                    ask!(server, method.clone(), &target, [("Content-Type", "text/plain")], "x");
                let is_open = match method {
                    Method::GET => open(status, &body),
                    Method::HEAD if status == 200 => {
                        let (status, whole) = ask!(server, Method::GET, &target);
                        body.is_empty() && open(status, &whole)
                    }
                    _ => false,
                };
                let is_error = body.is_empty() || body.starts_with(br#"{"error":"#);
                let is_refused = [401, 404, 405].contains(&status) && is_error;
                assert!(
                    is_open || is_refused,
                    "{method} {target}: {status} {}",
                    String::from_utf8_lossy(&body)
                );
                asked += 1;
            }
        }
    }
    assert!(asked > 10_000, "{asked}");
    for path in guarded {
        let (status, _) = ask!(server, Method::GET, &path);
        assert!([401, 405].contains(&status), "{path}: {status}");
    }
    for path in health {
        assert_eq!(ask!(server, Method::GET, &path).0, 200, "{path}");
    }
}

#[actix_web::test]
async fn the_token_opens_what_it_is_for() {
    let server = server!(Some(TOKEN));
    let bearer = format!("Bearer {TOKEN}");
    for target in ["/api/v1/status", "/%61pi/v1/status", "/metrics", "/api/v1/rules"] {
        assert_eq!(ask!(server, Method::GET, target, [("Authorization", &*bearer)]).0, 200, "{target}");
    }
    for scheme in ["bearer", "BEARER", "Bearer "] {
        let given = format!("{scheme} {TOKEN}");
        assert_eq!(ask!(server, Method::GET, "/metrics", [("Authorization", &*given)]).0, 200, "{scheme}");
    }
    for wrong in [
        TOKEN,
        "Bearer ",
        "Basic x",
        &bearer[..bearer.len() - 1],
        &format!("{bearer}x"),
        &format!("Bearer{TOKEN}"),
        &bearer.to_uppercase(),
    ] {
        assert_eq!(ask!(server, Method::GET, "/metrics", [("Authorization", wrong)]).0, 401, "{wrong}");
    }
    let server = server!(None);
    assert_eq!(ask!(server, Method::GET, "/metrics").0, 200, "on loopback without a token");
    let (status, body) = ask!(server, Method::POST, "/api/v1/rules", [], "x");
    assert!(status == 403 && String::from_utf8_lossy(&body).contains("admin.token"), "{status}");
}

#[actix_web::test]
async fn pages_of_other_sites_change_and_read_nothing() {
    let bearer = format!("Bearer {TOKEN}");
    let foreign = [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Site", ""),
        ("Origin", "http://127.0.0.2:38500"),
        ("Origin", "http://localhost:8081"),
        ("Origin", "http://localhost"),
        ("Origin", "null"),
        ("Origin", ""),
    ];
    let own = [
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Site", "none"),
        ("Origin", "http://localhost:8080"),
        ("Origin", "https://LOCALHOST:8080"),
        ("User-Agent", "curl/8.5.0"),
    ];
    for token in [None, Some(TOKEN)] {
        let server = server!(token);
        for header in foreign {
            let headers = [("Authorization", &*bearer), header];
            for (method, path) in [
                (Method::POST, "/api/v1/rules"),
                (Method::DELETE, "/api/v1/rules/r"),
                (Method::POST, "/%61pi/v1/rules"),
                (Method::POST, "/"),
                (Method::GET, "/api/v1/alerts"),
                (Method::GET, "/metrics"),
            ] {
                let (status, _) = ask!(server, method.clone(), path, headers, "[[rule]]");
                assert_eq!(status, 403, "{method} {path} {header:?}");
            }
        }
        for header in own {
            let headers = [("Authorization", &*bearer), header];
            let expected = if token.is_some() { 200 } else { 403 };
            let (status, _) = ask!(server, Method::POST, "/api/v1/rules", headers, "[[rule]]");
            assert_eq!(status, expected, "{header:?}");
            assert_eq!(ask!(server, Method::GET, "/metrics", headers).0, 200, "{header:?}");
        }
        // A link on another site, as in Prometheus' list of targets.
        let link = [
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Mode", "navigate"),
            ("Sec-Fetch-Dest", "document"),
        ];
        let headers = [&[("Authorization", &*bearer)], &link[..]].concat();
        assert_eq!(ask!(server, Method::GET, "/metrics", headers.clone()).0, 200);
        assert_eq!(ask!(server, Method::POST, "/api/v1/rules", headers, "x").0, 403);
        assert_eq!(ask!(server, Method::GET, "/", link).0, 200);
    }
}

#[actix_web::test]
async fn requests_name_this_machine_as_their_host_and_their_target() {
    let server = server!(None);
    for host in ["LOCALHOST", "LocalHost:8080", "127.0.0.1", "[::1]:8080"] {
        assert_eq!(ask!(server, Method::GET, "/metrics", [("Host", host)]).0, 200, "{host}");
    }
    for target in ["http://localhost:8080/metrics", "http://LOCALHOST/metrics"] {
        assert_eq!(ask!(server, Method::GET, target).0, 200, "{target}");
    }
    for target in ["http://evil.example/", "http://evil.example/metrics", "http://evil.example/health/live"] {
        assert_eq!(ask!(server, Method::GET, target).0, 403, "{target}");
    }
    let two = [("Host", "localhost"), ("Host", "evil.example")];
    assert_eq!(ask!(server, Method::GET, "/metrics", two).0, 403);
    for method in [Method::CONNECT, Method::TRACE, Method::OPTIONS, Method::PUT, Method::PATCH] {
        for target in ["/", "/metrics", "/api/v1/rules", "/nothing", "localhost:8080"] {
            assert_eq!(ask!(server, method.clone(), target).0, 405, "{method} {target}");
        }
    }
}

#[actix_web::test]
async fn answers_keep_other_pages_away() {
    let server = server!(Some(TOKEN));
    for path in ["/", "/health/live", "/metrics", "/nothing"] {
        let request = TestRequest::with_uri(path).insert_header(("Host", "localhost")).to_request();
        let response = server.call(request).await.unwrap();
        for (name, value) in [
            ("X-Frame-Options", "DENY"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("X-Content-Type-Options", "nosniff"),
        ] {
            assert_eq!(response.headers().get(name).unwrap(), value, "{path}: {name}");
        }
    }
}
