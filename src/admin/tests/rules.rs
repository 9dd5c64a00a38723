//! Changes of rules over HTTP.

use std::sync::mpsc;

use actix_web::http::StatusCode;

use super::*;

#[actix_web::test]
async fn rule_files_come_under_the_content_types_that_are_documented() {
    let server = server!(Some(TOKEN));
    let bearer = format!("Bearer {TOKEN}");
    let post = async |content_type: &str| {
        let headers = [("Authorization", &*bearer), ("Content-Type", content_type)];
        let (status, body) = ask!(server, Method::POST, "/api/v1/rules", headers, "[[rule]]");
        assert!(status == 200 || serde_json::from_slice::<Value>(&body).unwrap()["error"].is_string());
        status
    };
    let described: Value = serde_json::from_str(api::OPENAPI).unwrap();
    let types = described["paths"]["/api/v1/rules"]["post"]["requestBody"]["content"].as_object().unwrap();
    assert_eq!(types.len(), access::RULE_FILE_TYPES.len());
    for content_type in types.keys() {
        assert_eq!(post(content_type).await, 200, "{content_type}");
    }
    assert_eq!(post("Text/Plain; charset=utf-8").await, 200);
    for content_type in ["multipart/form-data; boundary=x", "image/png", "text/html", "text/plainx", ""] {
        assert_eq!(post(content_type).await, 415, "{content_type}");
    }
}

#[actix_web::test]
async fn a_rule_file_that_is_too_large_or_too_slow_is_refused_as_json() {
    let server = server!(Some(TOKEN));
    let bearer = format!("Bearer {TOKEN}");
    let body = "#".repeat(api::RULES_BYTES_MAX + 1);
    let (status, answer) =
        ask!(server, Method::POST, "/api/v1/rules", [("Authorization", &*bearer)], body.clone());
    assert_eq!(status, 413);
    assert!(
        serde_json::from_slice::<Value>(&answer).unwrap()["error"]
            .as_str()
            .unwrap()
            .contains("4194304 bytes")
    );
    let fits = body[1..].to_owned();
    assert_eq!(ask!(server, Method::POST, "/api/v1/rules", [("Authorization", &*bearer)], fits).0, 200);
    let silent: actix_web::dev::Payload =
        actix_web::dev::Payload::Stream { payload: Box::pin(futures_util::stream::pending()) };
    let refused = api::rule_file(silent, Duration::from_millis(10)).await.unwrap_err();
    assert_eq!(refused.0, StatusCode::REQUEST_TIMEOUT);
}

#[actix_web::test]
async fn a_change_that_is_refused_says_whose_turn_it_is() {
    use crate::publishing::PublishError;
    use crate::rules::{Key, Mistake, Position};
    use frostline_engine::kafka::KafkaError;

    let answer = async |error: PublishError| {
        let response = api::refused(&error);
        let status = response.status().as_u16();
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let mistake = Mistake { position: Position { line: 4, column: 8 }, message: "unknown element".into() };
    let (status, body) = answer(PublishError::Mistakes(vec![mistake])).await;
    assert_eq!(
        (status, &body["mistakes"][0]["line"], &body["mistakes"][0]["column"]),
        (422, &json!(4), &json!(8))
    );
    let (status, body) = answer(PublishError::Unknown(Key::Rule("frost".into()))).await;
    assert_eq!(
        (status, body["error"].as_str()),
        (422, Some("no published rule `frost`: see `frostline rules list`"))
    );
    assert_eq!(answer(PublishError::Overtaken).await.0, 409);
    assert_eq!(answer(KafkaError::Settings("x".into()).into()).await.0, 422);
    assert_eq!(answer(KafkaError::Retry("the broker is away".into()).into()).await.0, 500);
}

/// Two changes compute; a third is refused, also when the clients of the two have gone.
#[actix_web::test]
async fn two_changes_of_rules_compute_at_a_time() {
    let (started, starts) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let (started, ended) = (std::sync::Mutex::new(started), std::sync::Mutex::new(ended));
    let change: ChangeRules = Arc::new(move |_| {
        started.lock().unwrap().send(()).unwrap();
        let _ = ended.lock().unwrap().recv();
        Ok(json!({}))
    });
    let server = std::rc::Rc::new(server!(Some(TOKEN), change));
    let bearer = format!("Bearer {TOKEN}");
    let post = |method: Method, path: &str| {
        let request = TestRequest::with_uri(path).method(method).insert_header(("Host", "localhost"));
        server.call(request.insert_header(("Authorization", &*bearer)).to_request())
    };
    for _ in 0..2 {
        // The clients go away while it is computed.
        let gone =
            tokio::time::timeout(Duration::from_millis(100), post(Method::POST, "/api/v1/rules")).await;
        assert!(gone.is_err());
        starts.recv_timeout(Duration::from_secs(10)).unwrap();
    }
    assert_eq!(post(Method::POST, "/api/v1/rules").await.unwrap().status(), 503);
    assert_eq!(post(Method::DELETE, "/api/v1/rules/r").await.unwrap().status(), 503);
    drop(end);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while post(Method::POST, "/api/v1/rules").await.unwrap().status() != 200 {
        assert!(std::time::Instant::now() < deadline, "the permits do not come back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
