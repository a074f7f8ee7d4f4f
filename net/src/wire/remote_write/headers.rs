//! What the headers of a request decide: its protocol, and refusals in Prometheus's words.

use super::{Protocol, REQUEST_BYTES_MAX, Refusal};

const MEDIA_TYPE: &str = "application/x-protobuf";

/// The protocol that a `Content-Type` names (empty when there is none), if it is among those that
/// the receiver accepts.
///
/// # Errors
///
/// 415 with the text of Prometheus's receiver.
pub fn protocol_of(content_type: &str, accepted: &[Protocol]) -> Result<Protocol, Refusal> {
    let content_type = if content_type.is_empty() { MEDIA_TYPE } else { content_type.trim() };
    let protocol = named_protocol(content_type).map_err(|text| Refusal::new(415, text))?;
    if accepted.contains(&protocol) {
        return Ok(protocol);
    }
    let names: Vec<_> = accepted.iter().map(|protocol| protocol.message_name()).collect();
    Err(Refusal::new(
        415,
        format!(
            "{} protobuf message is not accepted by this server; only accepts {}",
            protocol.message_name(),
            names.join(", ")
        ),
    ))
}

fn named_protocol(content_type: &str) -> Result<Protocol, String> {
    let mut parts = content_type.split(';');
    if parts.next() != Some(MEDIA_TYPE) {
        return Err(format!(
            "expected {MEDIA_TYPE} as the first (media) part, got {content_type} content-type"
        ));
    }
    for parameter in parts {
        let Some((name, value)) =
            parameter.split_once('=').filter(|(_, value)| !value.contains('='))
        else {
            return Err(format!(
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to \
                 be key-values, got {parameter} in {content_type} content-type"
            ));
        };
        if name == "proto" {
            let known = [Protocol::V1, Protocol::V2];
            return known.into_iter().find(|known| known.message_name() == value).ok_or_else(
                || {
                    format!(
                        "got {content_type} content type; unknown type for remote write protobuf \
                     message {value}, supported: {}, {}",
                        known[0].message_name(),
                        known[1].message_name()
                    )
                },
            );
        }
    }
    Ok(Protocol::V1)
}

/// Whether a `Content-Encoding` (empty when there is none) is one that the receiver undoes. None
/// at all counts as snappy.
///
/// # Errors
///
/// 415 with the text of Prometheus's receiver.
pub fn check_content_encoding(content_encoding: &str) -> Result<(), Refusal> {
    if matches!(content_encoding, "" | "snappy") {
        return Ok(());
    }
    Err(Refusal::new(
        415,
        format!(
            "{content_encoding} encoding (compression) is not accepted by this server; only \
             snappy is acceptable"
        ),
    ))
}

/// Whether a body of `bytes` may be read at all.
///
/// # Errors
///
/// 413 with the text of Prometheus's receiver.
pub fn check_body_bytes(bytes: usize) -> Result<(), Refusal> {
    if bytes <= REQUEST_BYTES_MAX {
        return Ok(());
    }
    Err(Refusal::new(413, format!("request body exceeds the {REQUEST_BYTES_MAX} bytes limit")))
}

#[cfg(test)]
mod tests {
    use super::super::Protocol::{self, V1, V2};
    use super::{check_body_bytes, check_content_encoding, protocol_of};

    #[track_caller]
    fn check(content_type: &str, accepted: &[Protocol], expected: Result<Protocol, &str>) {
        let got = protocol_of(content_type, accepted);
        assert_eq!(
            got.as_ref().map_err(|refusal| &*refusal.message),
            expected.as_ref().map_err(|t| *t)
        );
        assert!(
            got.is_ok_and(|_| true)
                || protocol_of(content_type, accepted).unwrap_err().status == 415
        );
    }

    #[test]
    fn the_content_type_names_the_protocol() {
        let both = [V1, V2];
        check("", &both, Ok(V1));
        check("application/x-protobuf", &both, Ok(V1));
        check("application/x-protobuf;proto=prometheus.WriteRequest", &both, Ok(V1));
        check(" application/x-protobuf;proto=io.prometheus.write.v2.Request ", &both, Ok(V2));
        check("application/x-protobuf;a=b;proto=io.prometheus.write.v2.Request", &both, Ok(V2));
        check(
            "application/json",
            &both,
            Err("expected application/x-protobuf as the first (media) part, got \
                 application/json content-type"),
        );
        check(
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            &[V1],
            Err("io.prometheus.write.v2.Request protobuf message is not accepted by this server; \
                 only accepts prometheus.WriteRequest"),
        );
        check(
            "application/x-protobuf;proto=yolo",
            &both,
            Err("got application/x-protobuf;proto=yolo content type; unknown type for remote \
                 write protobuf message yolo, supported: prometheus.WriteRequest, \
                 io.prometheus.write.v2.Request"),
        );
        check(
            "application/x-protobuf;proto",
            &both,
            Err("as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to \
                 be key-values, got proto in application/x-protobuf;proto content-type"),
        );
    }

    #[test]
    fn encodings_and_sizes_are_judged_before_the_body() {
        assert!(check_content_encoding("").is_ok());
        assert!(check_content_encoding("snappy").is_ok());
        let refusal = check_content_encoding("zstd").unwrap_err();
        assert_eq!(refusal.status, 415);
        assert_eq!(
            refusal.message,
            "zstd encoding (compression) is not accepted by this server; only snappy is acceptable"
        );
        assert!(check_body_bytes(32 << 20).is_ok());
        let refusal = check_body_bytes((32 << 20) + 1).unwrap_err();
        assert_eq!(refusal.status, 413);
        assert_eq!(refusal.message, "request body exceeds the 33554432 bytes limit");
    }
}
