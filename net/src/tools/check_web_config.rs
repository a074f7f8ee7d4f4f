//! `check web-config`: whether files for `--web.config.file` are valid, with what they name.
//!
//! Source: Prometheus `cmd/promtool/main.go`; prometheus/exporter-toolkit `web.Validate`.

use std::path::Path;

use super::arguments::{Arguments, Positional, many};
use super::{BAD, Console, GOOD, Kind, say};
use crate::config::web::WebConfig;
use crate::http::tls::pem;

pub(super) const POSITIONALS: &[Positional] = &[many("web-config-files", Kind::File, true)];

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let mut code = GOOD;
    for file in arguments.values("web-config-files") {
        match check(Path::new(file)) {
            Ok(()) => {
                say!(console.err, "{file} SUCCESS");
            }
            Err(fault) => {
                say!(console.err, "{file} FAILED: {fault}");
                code = BAD;
            }
        }
    }
    Ok(code)
}

fn check(file: &Path) -> Result<(), String> {
    let config = WebConfig::from_file(file)?;
    if !config.tls.is_enabled() {
        return Ok(());
    }
    let found = config.tls.read()?;
    pem::key_pair(&found.cert, &found.key)
        .map_err(|why| format!("failed to load X509KeyPair: {why}"))?;
    config.tls.client_auth().map(drop)
}
