//! The processes with their partitions, and the state of a key, in whichever process it is.

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use frostline_engine::runtime::{Answer, Failure, Found};
use serde::Deserialize;
use serde_json::json;

use super::view::Shown;
use crate::stages::Question;

/// Path parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    date: Option<String>,
}

/// `GET /api/v1/state/STAGE/KEY`: the entries; 307 to the process that has the key's partition; 421 if that process
/// does not report its address; 503 while no process has the partition.
pub(super) async fn state(
    path: web::Path<(String, String)>,
    asked: web::Query<Asked>,
    request: HttpRequest,
    shown: web::Data<Shown>,
) -> HttpResponse {
    let (stage, key) = path.into_inner();
    let known = shown.view.topology.find(&stage).map_err(|error| error.to_string());
    let parsed = known.and_then(|stage| Question::parse(stage.id, &key, asked.date.as_deref()));
    let question = match parsed {
        Ok(question) => question,
        Err(reason) => return HttpResponse::BadRequest().json(json!({ "error": reason })),
    };
    match shown.view.inspector.ask(question.to_engine(&shown.view.rules)).await {
        Ok(Answer::Here(Found { partition, committed_offset, entries })) => HttpResponse::Ok().json(json!({
            "stage": stage, "key": key, "partition": partition, "committed_offset": committed_offset,
            "entries": entries,
        })),
        Ok(Answer::Restoring(partition)) => HttpResponse::ServiceUnavailable().json(json!({
            "error": format!("partition {partition} of {stage} is still being restored here; try again"),
            "partition": partition,
        })),
        Ok(Answer::Elsewhere(partition, None)) => HttpResponse::ServiceUnavailable().json(json!({
            "error": format!("no process has partition {partition} of {stage} at the moment; try again"),
            "partition": partition, "owner": null,
        })),
        Ok(Answer::Elsewhere(partition, Some(owner))) => {
            let body = json!({
                "error": format!("partition {partition} of {stage} is in another process"),
                "partition": partition,
                "owner": { "address": owner.address, "host": owner.host },
            });
            match owner.address {
                Some(address) => {
                    let there = format!("http://{address}{}", path_and_query(&request));
                    HttpResponse::TemporaryRedirect().insert_header((LOCATION, there)).json(body)
                }
                None => HttpResponse::MisdirectedRequest().json(body),
            }
        }
        Err(failure) => failed(&failure),
    }
}

/// `GET /api/v1/processes`: all processes of the installation, with their partitions.
pub(super) async fn processes(shown: web::Data<Shown>) -> HttpResponse {
    match shown.view.inspector.processes().await {
        Ok(processes) => HttpResponse::Ok().json(processes),
        Err(failure) => failed(&failure),
    }
}

/// The request target without the authority that an absolute one has.
fn path_and_query(request: &HttpRequest) -> &str {
    request.uri().path_and_query().map_or("/", |found| found.as_str())
}

fn failed(failure: &Failure) -> HttpResponse {
    HttpResponse::InternalServerError().json(json!({ "error": failure.to_string() }))
}
