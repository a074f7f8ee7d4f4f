//! Users of a kubeconfig file whose credentials a command gives, as cloud providers' tools do.
//!
//! The command is run for the first request, and again when what it gave has ended.
//!
//! Source: client-go `plugin/pkg/client/auth/exec`; Kubernetes, "client-go credential plugins".

use std::cell::RefCell;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shards::runtime;

use crate::config::{Authorization, HttpClientConfig, Secret};
use crate::discovery::api::{parse, text_at};

/// How long the command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is looked at meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Longest output.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// Credentials are renewed this long before they end.
const EARLY_MS: i64 = 10_000;

/// The command of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exec {
    pub api_version: String,
    pub command: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
}

/// How to speak to a cluster, which may have to be asked for.
pub struct Login {
    http: HttpClientConfig,
    exec: Option<Exec>,
    kept: RefCell<Option<Given>>,
}

/// What a command gave.
#[derive(Clone)]
struct Given {
    http: HttpClientConfig,
    /// Milliseconds since the Unix epoch; none for as long as hearth runs.
    until_ms: Option<i64>,
}

impl Login {
    pub fn new(http: HttpClientConfig, exec: Option<Exec>) -> Login {
        Login { http, exec, kept: RefCell::new(None) }
    }

    /// The credentials in force.
    pub async fn http(&self) -> Result<HttpClientConfig, String> {
        let Some(exec) = &self.exec else { return Ok(self.http.clone()) };
        let kept = self.kept.borrow().clone();
        let is_good = |given: &Given| {
            given.until_ms.is_none_or(|until| runtime::unix_ms() + EARLY_MS < until)
        };
        if let Some(kept) = kept.filter(is_good) {
            return Ok(kept.http);
        }
        let command = exec.clone();
        let name = exec.command.display();
        let failed = |why: String| format!("getting credentials: exec: {name}: {why}");
        let output = runtime::blocking(move || run(&command)).await.map_err(failed)?;
        let answer = parse(&output).map_err(failed)?;
        let given = self.given(&answer).map_err(failed)?;
        let http = given.http.clone();
        *self.kept.borrow_mut() = Some(given);
        Ok(http)
    }

    fn given(&self, answer: &Value) -> Result<Given, String> {
        let text = |name: &str| text_at(answer, &format!("status.{name}"));
        let mut http = self.http.clone();
        let (token, certificate) = (text("token"), text("clientCertificateData"));
        if token.is_empty() && certificate.is_empty() {
            return Err("the command gave neither a token nor a certificate".to_owned());
        }
        if !token.is_empty() {
            http.authorization = Some(Authorization {
                kind: "Bearer".to_owned(),
                credentials: Secret::new(token),
                ..Authorization::default()
            });
        }
        if !certificate.is_empty() {
            http.tls_config.cert = certificate;
            http.tls_config.key = Secret::new(text("clientKeyData"));
        }
        let until_ms = match text("expirationTimestamp") {
            time if time.is_empty() => None,
            time => {
                let parsed = time.parse::<jiff::Timestamp>();
                let parsed = parsed.map_err(|error| format!("expirationTimestamp: {error}"))?;
                Some(parsed.as_millisecond())
            }
        };
        Ok(Given { http, until_ms })
    }
}

impl Exec {
    /// A command with a slash is beside the kubeconfig file, others are on the path.
    pub fn command_of(name: &str, dir: &Path) -> PathBuf {
        if name.contains('/') { dir.join(name) } else { PathBuf::from(name) }
    }
}

/// Runs the command to its end; what it writes.
fn run(exec: &Exec) -> Result<Vec<u8>, String> {
    let info = json!({
        "apiVersion": exec.api_version,
        "kind": "ExecCredential",
        "spec": {"interactive": false},
    });
    let mut child = Command::new(&exec.command)
        .args(&exec.arguments)
        .envs(exec.environment.iter().map(|(name, value)| (name, value)))
        .env("KUBERNETES_EXEC_INFO", info.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| error.to_string())?;
    // Reads beside the wait: a command that fills its pipe would wait for us.
    let reader = child.stdout.take().map(|stdout| {
        thread::spawn(move || {
            let mut output = vec![];
            stdout.take(OUTPUT_BYTES_MAX).read_to_end(&mut output).map(|_| output)
        })
    });
    let until = Instant::now() + COMMAND_TIMEOUT;
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if Instant::now() >= until => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no answer within {COMMAND_TIMEOUT:?}"));
            }
            None => thread::sleep(LOOK_INTERVAL),
        }
    };
    if !status.success() {
        return Err(format!("the command failed with {status}"));
    }
    let output = reader.and_then(|reader| reader.join().ok());
    output.unwrap_or(Ok(vec![])).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::on_control;

    fn login(script: &str) -> Login {
        let exec = Exec {
            api_version: "client.authentication.k8s.io/v1".to_owned(),
            command: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            environment: vec![("EXTRA".to_owned(), "e".to_owned())],
        };
        Login::new(HttpClientConfig::default(), Some(exec))
    }

    #[track_caller]
    fn check(script: &str, expected: Result<&str, &str>) {
        let found = on_control(login(script).http());
        let token = found.map(|http| http.authorization.unwrap().credentials.reveal().to_owned());
        let expected = expected
            .map(str::to_owned)
            .map_err(|why| format!("getting credentials: exec: /bin/sh: {why}"));
        assert_eq!(token, expected);
    }

    #[test]
    fn a_command_gives_a_token() {
        check(r#"echo "{\"status\":{\"token\":\"t-$EXTRA\"}}""#, Ok("t-e"));
        check(
            r#"echo "$KUBERNETES_EXEC_INFO" | grep -q '"interactive":false' && echo '{"status":{"token":"t"}}'"#,
            Ok("t"),
        );
        check("echo '{}'", Err("the command gave neither a token nor a certificate"));
        check("exit 3", Err("the command failed with exit status: 3"));
    }

    #[test]
    fn what_was_given_is_kept_until_it_ends() {
        let counted = |time: &str| {
            let file = std::env::temp_dir().join(format!(
                "hearth-exec-{}-{}",
                std::process::id(),
                time.len()
            ));
            let script = format!(
                "echo x >> {0}; echo '{{\"status\":{{\"token\":\"t\",\"expirationTimestamp\":\"{time}\"}}}}'",
                file.display()
            );
            let login = login(&script);
            on_control(async {
                login.http().await.unwrap();
                login.http().await.unwrap();
            });
            let count = std::fs::read_to_string(&file).unwrap().lines().count();
            std::fs::remove_file(file).unwrap();
            count
        };
        assert_eq!(counted(""), 1);
        assert_eq!(counted("2999-01-01T00:00:00Z"), 1);
        assert_eq!(counted("2001-01-01T00:00:00.0Z"), 2);
    }
}
