//! Rules, alerts and Alertmanagers: none of them is carried out yet, so there are none to tell of.
//!
//! Parameters are judged as Prometheus judges them. Source: `web/api/v1/api.go` (`rules`).

use crate::http::{Form, Response};

use super::answer::{ApiError, Notes, success};

pub fn alerts() -> Response {
    success(&Notes::default(), |json| json.raw(br#"{"alerts":[]}"#))
}

pub fn alertmanagers() -> Response {
    success(&Notes::default(), |json| {
        json.raw(br#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#);
    })
}

pub fn rules(form: &Form) -> Result<Response, ApiError> {
    let rule_type = form.get("type").to_lowercase();
    if !matches!(rule_type.as_str(), "" | "alert" | "record") {
        let why = format!("not supported value {rule_type:?}");
        return Err(ApiError::parameter("type", &why));
    }
    if !form.get("group_next_token").is_empty() {
        let why = match form.get("group_limit") {
            "" => "group_limit needs to be present in order to paginate over the groups".into(),
            _ => {
                let token = form.get("group_next_token");
                format!("invalid group_next_token '{token}'. were rule groups changed?")
            }
        };
        return Err(ApiError::parameter("group_next_token", &why));
    }
    Ok(success(&Notes::default(), |json| json.raw(br#"{"groups":[]}"#)))
}
