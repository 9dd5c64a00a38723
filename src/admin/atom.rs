//! The newest alerts as an Atom feed (RFC 4287).

use std::io;

use actix_web::{HttpResponse, web};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::api::{LIMIT, LIMIT_MAX, State};
use super::bulletin::Bulletin;
use super::cap;
use super::lists::List;
use super::query::Page;
use super::xml::{self, Xml, leaf};
use crate::hourly::iso_time;

const NAMESPACE: &str = "http://www.w3.org/2005/Atom";

/// The feed, newest first.
pub(super) async fn feed(page: web::Query<Page>, shown: State) -> HttpResponse {
    shown.live.look_and_read().await;
    let newest = shown.live.newest(List::Alerts, page.limit.unwrap_or(LIMIT).min(LIMIT_MAX));
    match write(&Bulletin::of(&newest), &shown.view.cluster) {
        Ok(xml) => HttpResponse::Ok().content_type("application/atom+xml; charset=utf-8").body(xml),
        Err(error) => HttpResponse::InternalServerError()
            .json(json!({ "error": format!("the feed cannot be written: {error}") })),
    }
}

fn write(newest: &[Bulletin], cluster: &str) -> io::Result<Vec<u8>> {
    xml::document("feed", NAMESPACE, |xml| {
        leaf(xml, "id", &urn(cluster, ""))?;
        leaf(xml, "title", "frostline alerts")?;
        let updated = newest.iter().map(|bulletin| bulletin.timestamp_ms).max().unwrap_or_default();
        leaf(xml, "updated", &iso_time(updated.div_euclid(1_000)))?;
        xml.create_element("author").write_inner_content(|xml| leaf(xml, "name", "frostline"))?;
        link(xml, "self", "application/atom+xml", "/api/v1/alerts.atom")?;
        newest.iter().try_for_each(|bulletin| entry(xml, bulletin, cluster))
    })
}

fn entry(xml: &mut Xml, bulletin: &Bulletin, cluster: &str) -> io::Result<()> {
    let alert = &bulletin.alert;
    xml.create_element("entry").write_inner_content(|xml| {
        leaf(xml, "id", &urn(cluster, &alert.alert_id))?;
        leaf(xml, "title", &alert.message)?;
        leaf(xml, "updated", &iso_time(bulletin.timestamp_ms.div_euclid(1_000)))?;
        for term in [alert.transition.as_str(), alert.severity.as_str(), &alert.rule_id, &alert.station.id] {
            xml.create_element("category").with_attribute(("term", &*xml::allowed(term))).write_empty()?;
        }
        link(
            xml,
            "alternate",
            cap::CONTENT_TYPE,
            &format!("/api/v1/alerts/{}.cap", in_path(&alert.alert_id)),
        )?;
        leaf(xml, "summary", &format!("{}: {}", bulletin.place(), alert.when))
    })?;
    Ok(())
}

fn link(xml: &mut Xml, relation: &str, media_type: &str, target: &str) -> io::Result<()> {
    let attributes = [("rel", relation), ("type", media_type), ("href", target)];
    xml.create_element("link").with_attributes(attributes).write_empty()?;
    Ok(())
}

/// An id that stays the same and that no other cluster has: a UUID of version 8, whose bits are those of a SHA-256.
fn urn(cluster: &str, alert_id: &str) -> String {
    let digest = Sha256::digest(format!("frostline alerts\n{cluster}\n{alert_id}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// An id as a part of a path. Its slashes stay.
fn in_path(id: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let encode =
        |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    id.bytes().map(encode).collect()
}
