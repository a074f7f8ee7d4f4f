//! A server that expects requests one by one, for tests of providers.

use std::cell::Cell;
use std::time::Duration;

use crate::config::yaml::{self, Field};
use crate::discovery::TargetGroup;
use crate::discovery::api::Api;
use crate::http::testing::{Asked, FakeServer, Reply, on_control, reply_json, reply_status};

/// Groups as lines: their labels, then each target's.
pub fn shown(groups: &[TargetGroup]) -> String {
    let mut lines = vec![];
    for group in groups {
        lines.push(format!("{} {}", group.source, group.labels));
        lines.extend(group.targets.iter().map(|target| format!("  {target}")));
    }
    lines.join("\n")
}

/// What a refresh gives, or why it failed.
#[track_caller]
pub fn check(refresh: impl Future<Output = Result<Vec<TargetGroup>, String>>, expected: &str) {
    let shown = on_control(refresh).map_or_else(|error| error, |groups| shown(&groups));
    assert_eq!(shown.trim(), expected.trim());
}

/// A section of the configuration as it is written.
#[track_caller]
pub fn section<C: Field + Default>(text: &str) -> C {
    let mut config = C::default();
    if let Err(abort) = yaml::decode(text, &mut config) {
        panic!("{}", abort.message);
    }
    config
}

/// What is expected, and what answers it.
///
/// A request is its line, `GET /path?query`, then lines `name: start of a header's value`, then
/// perhaps a line that starts with `{`, `<` or `=`: the body (without the `=`). An answer is JSON,
/// or `404` or another status, or a status with a header: `200 name: value`, and then the body on
/// further lines. `SERVER` stands for the server's URL.
pub type Exchange<'a> = (&'a str, &'a str);

/// Starts a server that expects exactly these requests in their order. Another one is answered
/// with status 599 and a text that says what was expected.
pub fn serve(exchanges: &[Exchange<'_>]) -> FakeServer {
    let exchanges: Vec<(String, String)> =
        exchanges.iter().map(|(asked, answer)| ((*asked).into(), (*answer).into())).collect();
    let next = Cell::new(0);
    FakeServer::http(move |asked| {
        let Some((expected, answer)) = exchanges.get(next.get()) else {
            return unexpected(asked, "nothing more");
        };
        let url = format!("http://{}", asked.header("host"));
        if !is_as_expected(asked, &expected.replace("SERVER", &url)) {
            return unexpected(asked, expected);
        }
        next.set(next.get() + 1);
        answered(&answer.replace("SERVER", &url))
    })
}

fn unexpected(asked: &Asked, expected: &str) -> Reply {
    let (method, target) = (&asked.method, &asked.target);
    let body = String::from_utf8_lossy(&asked.body);
    let text = format!("{method} {target} {:?} {body}, expected {expected}", asked.headers);
    let mut reply = reply_status(599, ("x-test", "unexpected"));
    *reply.body_mut() = text.into_bytes();
    reply
}

fn is_as_expected(asked: &Asked, expected: &str) -> bool {
    let mut lines = expected.lines().map(str::trim);
    if lines.next() != Some(&format!("{} {}", asked.method, asked.target)) {
        return false;
    }
    lines.all(|line| match line.split_at(1) {
        ("{" | "<", _) => asked.body == line.as_bytes(),
        ("=", body) => asked.body == body.as_bytes(),
        _ => {
            let (name, value) = line.split_once(": ").expect("name: value");
            asked.header(name).starts_with(value)
        }
    })
}

fn answered(answer: &str) -> Reply {
    let (head, body) = answer.split_once('\n').unwrap_or((answer, ""));
    let (status, header) = head.split_once(' ').unwrap_or((head, ""));
    let Ok(status) = status.parse::<u16>() else { return reply_json(answer) };
    let mut reply = reply_json(body.trim());
    *reply.status_mut() = http::StatusCode::from_u16(status).unwrap();
    if let Some((name, value)) = header.split_once(": ") {
        let name: http::HeaderName = name.parse().unwrap();
        reply.headers_mut().insert(name, value.parse().unwrap());
    }
    reply
}

/// Refreshes a provider whose section is `text` against a server of those exchanges, once. All of
/// them must happen. In `text` and `expected`, `SERVER` stands for the server's URL; the function
/// gets it as the base of an API that no field of the section tells.
#[track_caller]
pub fn check_provider<C: Field + Default>(
    text: &str,
    exchanges: &[Exchange<'_>],
    refresh: impl AsyncFn(&C, &mut Api, &str) -> Result<Vec<TargetGroup>, String>,
    expected: &str,
) {
    let server = serve(exchanges);
    let url = server.url("");
    let config: C = section(&text.replace("SERVER", &url));
    let mut api = Api::plain(Duration::from_secs(5));
    check(refresh(&config, &mut api, &url), &expected.replace("SERVER", &url));
    let asked: Vec<&str> =
        exchanges.iter().map(|(asked, _)| asked.lines().next().unwrap()).collect();
    assert_eq!(server.asked(), asked);
}
