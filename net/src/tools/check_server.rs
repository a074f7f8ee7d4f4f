//! `check healthy`, `check ready`: whether a server is.
//!
//! Source: Prometheus `cmd/promtool/main.go`.

use std::time::Duration;

use super::arguments::{Arguments, Flag, flag};
use super::server::{HTTP_CONFIG, Server};
use super::{Console, GOOD, Kind, say};

pub(super) const FLAGS: &[Flag] =
    &[HTTP_CONFIG, flag("url", Kind::Url, "The server.").or("http://localhost:9090")];

const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn healthy(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    check(arguments, "-/healthy", console)
}

pub(super) fn ready(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    check(arguments, "-/ready", console)
}

fn check(arguments: &Arguments, path: &str, console: &mut Console<'_>) -> Result<u8, String> {
    let mut server = Server::new(arguments, arguments.text("url"))?;
    let reply = server.get(path, TIMEOUT)?;
    if reply.status.as_u16() != 200 {
        let url = arguments.text("url");
        return Err(format!("check failed: URL={url}, status={}", reply.status.as_u16()));
    }
    say!(console.err, "  SUCCESS:  {}", String::from_utf8_lossy(&reply.body));
    Ok(GOOD)
}
