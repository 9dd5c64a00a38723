//! The services without faults, asked without a socket, at any time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use frostline::sources::{Answer, Fetch, Fresh, Request, Validators};
use frostline::weather_server::{Request as Asked, Script, World, answer};
use frostline_engine::PollError;

const BASE: &str = "http://weather.example";

/// See the module's description.
pub struct Faultless {
    world: World,
    /// In seconds since 1970.
    now: AtomicI64,
}

impl Faultless {
    pub fn new(world: &World) -> Self {
        Self { world: world.clone(), now: AtomicI64::new(0) }
    }

    /// The address of all services.
    pub fn base(&self) -> &'static str {
        BASE
    }

    pub fn set_time(&self, now: i64) {
        self.now.store(now, Ordering::Relaxed);
    }
}

impl Fetch for Faultless {
    fn get(&self, request: &Request<'_>) -> Result<Answer, PollError> {
        let now = self.now.load(Ordering::Relaxed);
        let (path, query) = request
            .url
            .strip_prefix(BASE)
            .unwrap()
            .split_once('?')
            .unwrap_or_else(|| (request.url.strip_prefix(BASE).unwrap(), ""));
        let found = answer(
            &self.world,
            &Script::none(),
            now,
            &Asked {
                path: path.to_owned(),
                query: query.to_owned(),
                base: BASE.to_owned(),
                user_agent: Some("truth@example.org".to_owned()),
                if_none_match: request.validators.etag.clone(),
                if_modified_since: request.validators.last_modified.clone(),
                accepts_gzip: false,
            },
        );
        let header = |name: &str| found.header(name).map(str::to_owned);
        let expires = header("expires").map(|text| httpdate::parse_http_date(&text).unwrap());
        let expires = expires.map(|at| at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs());
        let fresh_for = expires.map(|at| Duration::from_secs(at.saturating_sub(now.unsigned_abs())));
        match found.status {
            200 => Ok(Answer::New(Fresh {
                validators: Validators { etag: header("etag"), last_modified: header("last-modified") },
                bytes: found.body,
                fresh_for,
                part_of: None,
            })),
            304 => Ok(Answer::Unchanged { fresh_for }),
            404 => Ok(Answer::NotFound),
            status => panic!("{}: {status}", request.url),
        }
    }
}
