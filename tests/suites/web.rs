//! `--web.config.file` from outside: who may ask, over which connections, and what becomes of the
//! file's changes while the server runs.

use std::path::{Path, PathBuf};

use tests::http::{self, Answer};
use tests::tls::{self, Authority, Issued};
use tests::workspace::TemporaryFolder;
use tests::{Hearth, Options};

/// bcrypt of "fakepassword".
const HASH: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// "admin:fakepassword" and "admin:other".
const GOOD: &str = "Basic YWRtaW46ZmFrZXBhc3N3b3Jk";
const WRONG: &str = "Basic YWRtaW46b3RoZXI=";

/// hearth with `files` in its folder, of which `web.yml` is that of the web server.
fn start(files: &[(&str, &str)]) -> (Hearth, PathBuf) {
    let folder = TemporaryFolder::new("web");
    let path = folder.path().to_owned();
    for (name, text) in files {
        put(&path.join(name), text);
    }
    let options = Options {
        config: Some("scrape_configs: []\n".to_owned()),
        args: vec![
            format!("--web.config.file={}", path.join("web.yml").display()),
            "--shards=2".to_owned(),
        ],
    };
    (Hearth::start_guarded(options, folder), path)
}

/// Writes a file so that nobody reads half of it.
fn put(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("the folder is writable");
    std::fs::rename(&new, path).expect("a file of the same folder");
}

fn get(hearth: &Hearth, authorization: &str) -> Answer {
    let headers = [("Authorization", authorization)];
    let headers = if authorization.is_empty() { &[][..] } else { &headers };
    http::request(hearth.address, "GET", "/-/healthy", headers, b"").expect("hearth answers")
}

#[track_caller]
fn check(hearth: &Hearth, authorization: &str, status: u16) -> Answer {
    let answer = get(hearth, authorization);
    assert_eq!(answer.status, status, "{authorization:?}: {}", answer.text());
    answer
}

fn users(name: &str) -> String {
    format!(
        "basic_auth_users: {{{name}: '{HASH}'}}\nhttp_server_config:\n  headers:\n    \
         X-Frame-Options: deny\n    X-Content-Type-Options: nosniff\n"
    )
}

#[test]
fn users_and_headers_are_those_of_the_file_as_it_is_now() {
    let (hearth, folder) = start(&[("web.yml", &users("admin"))]);
    for refused in ["", WRONG, "Basic !", "Bearer x"] {
        let answer = check(&hearth, refused, 401);
        assert_eq!(answer.header("www-authenticate"), Some("Basic"));
        assert_eq!(answer.header("x-frame-options"), Some("deny"));
        assert_eq!(answer.text().trim_end(), "Unauthorized");
    }
    let answer = check(&hearth, GOOD, 200);
    assert_eq!(answer.header("x-frame-options"), Some("deny"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));

    let file = folder.join("web.yml");
    put(&file, &users("somebody"));
    hearth
        .wait_for("the new user counts", |hearth| (get(hearth, GOOD).status == 401).then_some(()));
    // A file with a mistake changes nothing, and the log says which.
    put(&file, "basic_auth_user: {}\n");
    hearth.wait_for("the mistake is told", |hearth| {
        hearth.log().contains("field basic_auth_user not found").then_some(())
    });
    check(&hearth, GOOD, 401);
    put(&file, "");
    hearth.wait_for("everybody may ask", |hearth| (get(hearth, "").status == 200).then_some(()));
}

fn tls_file(more: &str) -> String {
    format!("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{more}")
}

/// Puts a certificate and its key where [`tls_file`] has them.
fn put_identity(folder: &Path, issued: &Issued) {
    // The key first: certificate and key of two pairs are refused, and the former ones stay.
    put(&folder.join("server.key"), &issued.key);
    put(&folder.join("server.crt"), &issued.cert);
}

#[test]
fn connections_are_encrypted_with_the_certificate_as_it_is_now() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let issued = first.issue("127.0.0.1");
    let (hearth, folder) = start(&[
        ("web.yml", &tls_file("")),
        ("server.crt", &issued.cert),
        ("server.key", &issued.key),
    ]);
    let get = |authority| tls::get(hearth.address, "/-/healthy", authority, None);
    assert_eq!(get(&first).expect("a trusted server").status, 200);
    let error = get(&second).expect_err("a server of another authority").to_string();
    assert!(error.contains("invalid peer certificate"), "{error}");
    // What is not encrypted gets a word, as from Go's server.
    let answer = http::get(hearth.address, "/").expect("a short answer");
    let text = "Client sent an HTTP request to an HTTPS server.\n";
    assert_eq!((answer.status, answer.text().as_str()), (400, text));

    put_identity(&folder, &second.issue("127.0.0.1"));
    hearth.wait_for("the new certificate is shown", |_| get(&second).ok());
    assert!(get(&first).is_err());
}

#[test]
fn clients_show_certificates_where_the_file_wants_them() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let issued = ours.issue("127.0.0.1");
    let more = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.crt\n  \
                client_allowed_sans: [friend.example]\n";
    let (hearth, _) = start(&[
        ("web.yml", &tls_file(more)),
        ("server.crt", &issued.cert),
        ("server.key", &issued.key),
        ("clients.crt", &ours.pem()),
    ]);
    let get = |identity: Option<&Issued>| tls::get(hearth.address, "/-/healthy", &ours, identity);
    assert_eq!(get(Some(&ours.issue("friend.example"))).expect("a friend").status, 200);
    assert!(get(None).is_err());
    assert!(get(Some(&ours.issue("stranger.example"))).is_err());
    assert!(get(Some(&others.issue("friend.example"))).is_err());
}

#[test]
fn a_file_with_a_mistake_keeps_the_server_from_starting() {
    let folder = TemporaryFolder::new("web");
    let file = folder.path().join("web.yml");
    let start = |text: &str| {
        put(&file, text);
        let data = folder.path().join("data");
        let output = tests::process::run(&[
            &format!("--web.config.file={}", file.display()),
            &format!("--storage.tsdb.path={}", data.display()),
            "--web.listen-address=127.0.0.1:0",
        ]);
        let output = output.expect("hearth runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    for (text, expected) in [
        ("tls_server_config: {cert_file: gone.crt, key_file: gone.key}\n", "gone.crt"),
        ("basic_auth_users: {admin: secret}\n", "hashedSecret too short"),
        ("http_server_config: {headers: {Server: x}}\n", "Server"),
    ] {
        let (is_good, said) = start(text);
        assert!(!is_good && said.contains(expected), "{text}: {said}");
    }
}
