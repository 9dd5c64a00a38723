//! Answers, orderly ones and those with each fault of the way.

use std::io::Read;

use flate2::read::GzDecoder;

use super::*;
use crate::hourly::parse_time;

const AGENT: &str = "(frostline, you@example.org)";
const VERSION: &str = "/pub/data/ghcn/daily/ghcnd-version.txt";

fn noon() -> i64 {
    parse_time("2026-11-28T12:30:00Z").unwrap()
}

fn request(path: &str) -> Request {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    Request {
        path: path.to_owned(),
        query: query.to_owned(),
        base: "http://127.0.0.1:80".to_owned(),
        user_agent: Some(AGENT.to_owned()),
        ..Request::default()
    }
}

fn with(fault: Fault, value: Option<u64>) -> Script {
    Script::new(vec![Window { from: noon(), to: noon() + HOUR, path: "/".to_owned(), fault, value }])
}

fn at(script: &Script, now: i64, request: &Request) -> Answer {
    answer(&World::new(1, 5), script, now, request)
}

fn faulty(fault: Fault) -> Answer {
    at(&with(fault, None), noon() + 60, &request(METAR_CACHE))
}

/// Asks again with the validators of an answer.
fn conditional(path: &str, answer: &Answer) -> Request {
    let header = |name| answer.header(name).map(str::to_owned);
    Request { if_none_match: header("etag"), if_modified_since: header("last-modified"), ..request(path) }
}

#[test]
fn every_service_answers() {
    let forecast = format!("{LOCATION_FORECAST}?lat=60.1&lon=10.2");
    for path in [
        METAR_CACHE,
        VERSION,
        "/pub/data/ghcn/daily/superghcnd/",
        "/oa/global-historical-climatology-network/hourly/doc/ghcnh-station-list.csv",
        "/points/33.61,-111.9",
        &forecast,
    ] {
        let first = at(&Script::none(), noon(), &request(path));
        assert_eq!(first.status, 200, "{path}");
        assert_eq!(at(&Script::none(), noon(), &request(path)), first, "{path}");
        if first.header("last-modified").is_some() {
            let again = at(&Script::none(), noon(), &conditional(path, &first));
            assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        }
    }
    for path in ["/", "/data/cache/tafs.cache.xml.gz", "/pub/data/ghcn/daily/x", "/weatherapi/"] {
        assert_eq!(at(&Script::none(), noon(), &request(path)).status, 404, "{path}");
    }
}

#[test]
fn who_does_not_say_who_he_is_gets_a_page() {
    let forecast = format!("{LOCATION_FORECAST}?lat=60.1&lon=10.2");
    for path in ["/points/33.61,-111.9", "/gridpoints/QIF/1,1", &forecast] {
        for user_agent in [None, Some("curl/8".to_owned())] {
            let answer = at(&Script::none(), noon(), &Request { user_agent, ..request(path) });
            assert_eq!((answer.status, answer.header("content-type")), (403, Some("text/html")), "{path}");
        }
    }
    let unknown = at(&Script::none(), noon(), &request("/points/33.61,-111.9?units=si"));
    assert_eq!(unknown.status, 400);
}

#[test]
fn norway_wants_its_own_time_back() {
    let path = format!("{LOCATION_FORECAST}?lat=60.1&lon=10.2");
    let first = at(&Script::none(), noon(), &request(&path));
    assert!(first.header("etag").is_none() && first.header("expires").is_some());
    let since = |time: i64| {
        let request = Request { if_modified_since: Some(http_date(time)), ..request(&path) };
        at(&Script::none(), noon(), &request).status
    };
    let modified = parse_http_date(first.header("last-modified").unwrap()).unwrap();
    assert_eq!((since(modified), since(modified + 1), since(modified - 1)), (304, 200, 200));
    assert_eq!(at(&with(Fault::Deprecated, None), noon(), &request(&path)).status, 203);
}

#[test]
fn answers_are_packed_for_those_who_can_unpack() {
    let plain = at(&Script::none(), noon(), &request("/points/33.61,-111.9"));
    let packed = Request { accepts_gzip: true, ..request("/points/33.61,-111.9") };
    let packed = at(&Script::none(), noon(), &packed);
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), (None, Some("gzip")));
    let mut body = Vec::new();
    GzDecoder::new(&packed.body[..]).read_to_end(&mut body).unwrap();
    assert_eq!(body, plain.body);
}

#[test]
fn refusals_have_their_status_and_form() {
    for (fault, status, content_type) in [
        (Fault::NotFound, 404, Some("text/html")),
        (Fault::Forbidden, 403, Some("text/html")),
        (Fault::TooManyRequests, 429, Some("text/html")),
        (Fault::ServerError, 500, Some("text/html")),
        (Fault::BadGateway, 502, Some("text/html")),
        (Fault::Unavailable, 503, Some("application/problem+json")),
        (Fault::NoContent, 204, None),
        (Fault::PageInstead, 200, Some("text/html")),
        (Fault::Redirect, 302, Some("text/html")),
    ] {
        let answer = faulty(fault);
        assert_eq!((answer.status, answer.header("content-type")), (status, content_type), "{fault:?}");
        assert!(answer.header("etag").is_none() && answer.header("last-modified").is_none());
    }
    assert_eq!(faulty(Fault::TooManyRequests).header("retry-after"), Some("120"));
    let longer = at(&with(Fault::TooManyRequests, Some(900)), noon(), &request(VERSION));
    assert_eq!(longer.header("retry-after"), Some("900"));
    let elsewhere = format!("http://localhost:80{METAR_CACHE}");
    assert_eq!(faulty(Fault::Redirect).header("location"), Some(elsewhere.as_str()));
    let other = Script::new(vec![Window {
        path: "/pub/".to_owned(),
        ..with(Fault::NotFound, None).windows()[0].clone()
    }]);
    assert_eq!(at(&other, noon(), &request(METAR_CACHE)).status, 200, "another path");
}

#[test]
fn bodies_are_cut_damaged_and_slow() {
    let cut = at(&with(Fault::CutBody, Some(10)), noon(), &request(METAR_CACHE));
    assert_eq!(cut.delivery, Delivery::Cut(10));
    assert_eq!(cut.body, at(&Script::none(), noon(), &request(METAR_CACHE)).body);
    let Delivery::Cut(anywhere) = faulty(Fault::CutBody).delivery else { panic!() };
    assert!(anywhere < faulty(Fault::CutBody).body.len());
    let short = at(&with(Fault::CutBody, Some(1_000_000)), noon(), &request(VERSION));
    assert_eq!(short.delivery, Delivery::Cut(short.body.len() - 1));
    assert_eq!(faulty(Fault::Drip).delivery, Delivery::Drip);
    let mut plain = Vec::new();
    let error = GzDecoder::new(&faulty(Fault::BadGzip).body[..]).read_to_end(&mut plain).unwrap_err();
    assert!(plain.starts_with(b"raw_text,"), "{error}");
}

#[test]
fn validators_lie() {
    let ask = |fault, now: i64, path: &str| at(&with(fault, None), now, &request(path));
    let (early, late) = (noon() + 60, noon() + 600);
    let changing = |now| ask(Fault::EtagChanges, now, VERSION);
    assert_eq!(changing(early).body, changing(late).body);
    assert_ne!(changing(early).header("etag"), changing(late).header("etag"));
    let staying = |now| ask(Fault::EtagStays, now, METAR_CACHE);
    assert_ne!(staying(early).body, staying(late).body);
    assert_eq!(staying(early).header("etag"), staying(late).header("etag"));
    let again = conditional(METAR_CACHE, &staying(early));
    assert_eq!(at(&with(Fault::EtagStays, None), late, &again).status, 200);
    let old = conditional(METAR_CACHE, &at(&Script::none(), noon() - HOUR, &request(METAR_CACHE)));
    assert_eq!(at(&Script::none(), early, &old).status, 200);
    assert_eq!(at(&with(Fault::NotModified, None), early, &old).status, 304);
    let same = conditional(VERSION, &at(&Script::none(), early, &request(VERSION)));
    assert_eq!(at(&Script::none(), early, &same).status, 304);
    assert_eq!(at(&with(Fault::NeverNotModified, None), early, &same).status, 200);
}

#[test]
fn a_source_stops_and_an_edge_is_stale() {
    let body = |script: &Script, now| at(script, now, &request(METAR_CACHE)).body;
    let orderly = |now| body(&Script::none(), now);
    let stopped = with(Fault::Stops, None);
    assert_eq!(body(&stopped, noon() + 50 * MINUTE), orderly(noon()));
    assert_eq!(body(&stopped, noon() + HOUR), orderly(noon() + HOUR));
    let stale = with(Fault::StaleEdge, None);
    let minutes = (0..60).map(|minute| noon() + minute * MINUTE);
    let (old, new): (Vec<i64>, Vec<i64>) =
        minutes.partition(|now| body(&stale, *now) == orderly(now - EDGE_BEHIND));
    assert!(old.len() > 15 && new.len() > 15);
    assert!(new.iter().all(|now| body(&stale, *now) == orderly(*now)));
}
