//! Health, readiness, reload and quit.
//!
//! Source: Prometheus `web/web.go`.

use http::{HeaderValue, StatusCode};

use crate::http::{Response, text, text_error};

use super::context::{Command, Context, Readiness};

const NAME: &str = "Prometheus Server";

pub fn healthy() -> Response {
    text(StatusCode::OK, format!("{NAME} is Healthy.\n"))
}

pub fn ready() -> Response {
    text(StatusCode::OK, format!("{NAME} is Ready.\n"))
}

/// The answer to everything that has to wait for readiness.
pub fn not_ready(readiness: Readiness) -> Response {
    let is_stopping = readiness == Readiness::Stopping;
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    let stopping = HeaderValue::from_static(if is_stopping { "true" } else { "false" });
    response.headers_mut().insert("x-prometheus-stopping", stopping);
    response
}

pub fn only_post() -> Response {
    text(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed")
}

fn disabled() -> Response {
    text(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.")
}

pub async fn reload(context: &Context) -> Response {
    if !context.web.has_lifecycle {
        return disabled();
    }
    let (answer, answered) = async_channel::bounded(1);
    let asked = context.commands.send(Command::Reload(answer)).await;
    let outcome = match asked {
        Ok(()) => answered.recv().await.ok(),
        Err(_) => None,
    };
    match outcome {
        Some(Ok(())) => text(StatusCode::OK, ""),
        Some(Err(why)) => {
            let why = format!("failed to reload config: {why}");
            text_error(StatusCode::INTERNAL_SERVER_ERROR, &why)
        }
        None => not_ready(Readiness::Stopping),
    }
}

pub async fn quit(context: &Context) -> Response {
    if !context.web.has_lifecycle {
        return disabled();
    }
    if context.readiness() == Readiness::Stopping {
        return text(StatusCode::OK, "Termination already in progress.");
    }
    // If nobody listens, the server is ending already.
    let _ = context.commands.send(Command::Quit).await;
    text(StatusCode::OK, "Requesting termination... Goodbye!")
}
