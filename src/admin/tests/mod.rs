//! The server with all its routes, without a daemon behind it.

use actix_web::body::to_bytes;
use actix_web::dev::Service;
use actix_web::http::Method;
use actix_web::test::{TestRequest, init_service};
use frostline_engine::kafka::ClientSettings;
use frostline_engine::runtime::{Inspector, Totals};
use serde_json::{Value, json};

use super::*;
use crate::app::{self, TailSource};
use crate::config::Config;
use crate::stages::StationIndex;

const TOKEN: &str = "a-token-of-more-than-thirty-two-bytes";

/// Changes nothing, and says that it has.
fn change_nothing() -> ChangeRules {
    Arc::new(|_| Ok(json!({ "published": true })))
}

fn shown(change_rules: Option<ChangeRules>) -> web::Data<Shown> {
    let mut config = Config::default();
    config.kafka.brokers = "127.0.0.1:9".into();
    let topology = Arc::new(app::outline(&config).unwrap());
    let clients = ClientSettings::new(&config.kafka).unwrap();
    web::Data::new(Shown::new(View {
        topology: Arc::clone(&topology),
        stages: Vec::new(),
        totals: Arc::new(Totals::new(topology.counters())),
        board: Arc::default(),
        sources: Arc::default(),
        stations: Arc::new(StationIndex::new(Default::default())),
        rules: Arc::default(),
        change_rules,
        recent: Some(Arc::default()),
        inspector: Inspector::of_others(topology, clients.clone()),
        source: TailSource::new(clients, config),
        patience: Duration::from_secs(60),
        recorder: Recorder::idle(),
        state_bytes: Box::new(|| 0),
        guarantee: "exactly_once".into(),
        cluster: "cluster".into(),
        instance: "instance".into(),
        sender: "frost@example.org".into(),
    }))
}

fn access(is_loopback: bool, token: Option<&str>) -> web::Data<Access> {
    web::Data::new(Access { is_loopback, token: token.map(|token| token.to_owned().into()) })
}

/// The server as a function from requests to answers.
macro_rules! server {
    ($token:expr) => {
        server!($token, change_nothing())
    };
    ($token:expr, $change:expr) => {{
        let token: Option<&str> = $token;
        let change: Option<ChangeRules> = if token.is_some() { Some($change) } else { None };
        init_service(routes::app(shown(change), access(true, token), web::Data::default())).await
    }};
}

/// Asks, by the name of localhost unless another Host is given: status and body.
macro_rules! ask {
    ($server:expr, $method:expr, $target:expr) => {
        ask!($server, $method, $target, [])
    };
    ($server:expr, $method:expr, $target:expr, $headers:expr) => {
        ask!($server, $method, $target, $headers, "")
    };
    ($server:expr, $method:expr, $target:expr, $headers:expr, $body:expr) => {{
        let headers: Vec<(&str, &str)> = Vec::from($headers);
        let request = TestRequest::with_uri($target).method($method).set_payload($body);
        let has_host = headers.iter().any(|(name, _)| *name == "Host");
        let host = (!has_host).then_some(("Host", "localhost:8080"));
        let request = headers.into_iter().chain(host).fold(request, TestRequest::append_header);
        let response = $server.call(request.to_request()).await.unwrap();
        let status = response.status().as_u16();
        (status, to_bytes(response.into_body()).await.ok().unwrap().to_vec())
    }};
}

mod load;
mod rules;
mod security;

#[actix_web::test]
async fn more_than_there_can_be_is_asked_for() {
    let server = server!(None);
    for (path, limit, status) in [
        ("/api/v1/alerts.atom?", "6557327153158646923264", 200),
        ("/api/v1/alerts?", "0", 200),
        ("/api/v1/search?text=a&", "6557327153158646923264", 200),
        ("/api/v1/alerts?", "-1", 400),
        ("/api/v1/alerts?", "", 400),
        ("/api/v1/alerts?", "1.5", 400),
    ] {
        let (answered, body) = ask!(server, Method::GET, &format!("{path}limit={limit}"));
        assert_eq!(answered, status, "{path} {limit}: {}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn all_routes_are_described() {
    let described: Value = serde_json::from_str(api::OPENAPI).unwrap();
    let paths = described["paths"].as_object().unwrap();
    let routes = routes::OPEN.iter().chain(&routes::GUARDED).chain(&routes::STREAMS);
    let mut routed: Vec<String> = routes.map(|(path, _)| path.replace(":.+", "")).collect();
    let mut found: Vec<&String> = paths.keys().collect();
    routed.sort_unstable();
    found.sort_unstable();
    assert_eq!(routed.iter().collect::<Vec<_>>(), found);
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let answers = &operation["responses"];
            let is_open = path.starts_with("/health/");
            assert!(is_open || (answers["401"].is_object() && answers["503"].is_object()), "{method} {path}");
            assert!(answers["403"].is_object(), "{method} {path}");
            let limit = operation["parameters"]
                .as_array()
                .and_then(|all| all.iter().find(|one| one["name"] == "limit"))
                .filter(|limit| limit["schema"]["type"] == "integer");
            if let Some(limit) = limit {
                assert!(limit["schema"]["minimum"] == 0 && answers["400"].is_object(), "{method} {path}");
            }
        }
    }
    let post = &paths["/api/v1/rules"]["post"]["responses"];
    assert!(["400", "408", "413", "415"].iter().all(|status| post[status].is_object()));
}
