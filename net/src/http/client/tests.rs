//! The client against servers of its own, on a shard's executor and on the control thread's.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::*;
use crate::config::{HttpClientConfig, yaml};
use crate::http::testing::*;

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("hearth-{name}-{}", std::process::id()));
        // A leftover of an earlier run under the same process id.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // Nothing depends on it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn options(config: &str) -> Arc<ClientOptions> {
    let mut read = HttpClientConfig::default();
    yaml::decode(config, &mut read).unwrap_or_else(|abort| panic!("{}", abort.message));
    ClientOptions::new("test", &read).unwrap()
}

async fn fetch(client: &mut Client, url: &str) -> Result<String, String> {
    let url = Url::parse(url).unwrap();
    let mut room = Room::default();
    let headers = HeaderMap::new();
    let got = client.get(&Ask::get(&url, &headers, 1 << 20), &mut room).await;
    got.map(|_| String::from_utf8(room.body().to_vec()).unwrap()).map_err(|error| error.to_string())
}

/// What both executors give for `urls`, one after the other by one client.
#[track_caller]
fn check(config: &str, urls: &[&str], expected: &[&str]) {
    let run = |config: String, urls: Vec<String>| async move {
        let mut client = Client::new(options(&config));
        let mut got = vec![];
        for url in &urls {
            got.push(fetch(&mut client, url).await.unwrap_or_else(|error| error));
        }
        got
    };
    let owned: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
    assert_eq!(on_control(run(config.to_owned(), owned.clone())), expected, "control");
    let config = config.to_owned();
    let on_shard = shards::runtime::run(move || run(config, owned)).unwrap();
    assert_eq!(on_shard, expected, "shard");
}

fn indented(pem: &str) -> String {
    pem.trim().lines().map(|line| format!("    {line}\n")).collect()
}

#[test]
fn servers_are_judged_by_their_certificate() {
    let (authority, other) = (Authority::default(), Authority::default());
    let issued = authority.issue("a.example");
    let server = FakeServer::start(Some(server_tls(&issued, None, &[])), |asked| {
        reply(format!("{} {:?}", asked.target, asked.version))
    });
    let url = format!("https://{}/m", server.address);
    let good =
        format!("tls_config:\n  server_name: a.example\n  ca: |\n{}", indented(&authority.pem()));
    check(&good, &[&url, &url], &["/m HTTP/1.1", "/m HTTP/1.1"]);
    check("tls_config: {insecure_skip_verify: true}", &[&url], &["/m HTTP/1.1"]);
    let failed =
        |why: &str| format!("Get \"{url}\": tls: failed to verify certificate: x509: {why}");
    let unknown = failed("certificate signed by unknown authority");
    check("", &[&url], &[&unknown]);
    let wrong =
        format!("tls_config:\n  server_name: a.example\n  ca: |\n{}", indented(&other.pem()));
    check(&wrong, &[&url], &[&unknown]);
    let misnamed =
        format!("tls_config:\n  server_name: b.example\n  ca: |\n{}", indented(&authority.pem()));
    check(&misnamed, &[&url], &[&failed("certificate is not valid for b.example")]);
    // Trusted by itself.
    let itself =
        format!("tls_config:\n  server_name: a.example\n  ca: |\n{}", indented(&issued.cert));
    check(&itself, &[&url], &["/m HTTP/1.1"]);
    let itself = format!("tls_config:\n  ca: |\n{}", indented(&issued.cert));
    check(&itself, &[&url], &[&failed("certificate is not valid for 127.0.0.1")]);
}

#[test]
fn http2_where_both_want_it() {
    let authority = Authority::default();
    let tls = || server_tls(&authority.issue("a.example"), None, &["h2", "http/1.1"]);
    let server = FakeServer::start(Some(tls()), |asked| {
        reply(format!("{:?} {} {}", asked.version, asked.connection, "x".repeat(100_000)))
    });
    let url = format!("https://{}/m", server.address);
    let body = |head: &str| format!("{head} {}", "x".repeat(100_000));
    let insecure = "tls_config: {insecure_skip_verify: true}\n";
    let client = |config: &str| {
        let config = config.to_owned();
        let url = url.clone();
        on_control(async move {
            let mut client = Client::new(options(&config));
            [fetch(&mut client, &url).await.unwrap(), fetch(&mut client, &url).await.unwrap()]
        })
    };
    assert_eq!(client(insecure), [body("HTTP/2.0 1"), body("HTTP/2.0 1")]);
    let without = format!("{insecure}enable_http2: false\n");
    assert_eq!(client(&without), [body("HTTP/1.1 2"), body("HTTP/1.1 2")]);
}

#[test]
fn clients_show_their_certificate() {
    let authority = Authority::default();
    let tls = server_tls(&authority.issue("a.example"), Some(&authority), &[]);
    let server = FakeServer::start(Some(tls), |_| reply("in"));
    let url = format!("https://{}/", server.address);
    let dir = Dir::new("client-cert");
    let me = authority.issue("me");
    let (cert, key) = (dir.write("c.pem", &me.cert), dir.write("k.pem", &me.key));
    let config =
        format!("tls_config: {{insecure_skip_verify: true, cert_file: {cert}, key_file: {key}}}\n");
    check(&config, &[&url], &["in"]);
    let refused = format!("Get \"{url}\": remote error: tls: certificate required");
    check("tls_config: {insecure_skip_verify: true}", &[&url], &[&refused]);
    // Replaced while the client lives: the next request shows the new one.
    let stranger = Authority::default().issue("stranger");
    on_control(async {
        let mut client = Client::new(options(&config));
        assert_eq!(fetch(&mut client, &url).await.as_deref(), Ok("in"));
        dir.write("c.pem", &stranger.cert);
        dir.write("k.pem", &stranger.key);
        let refused = fetch(&mut client, &url).await.unwrap_err();
        assert!(refused.contains("remote error: tls: "), "{refused}");
        std::fs::remove_file(&cert).unwrap();
        let missing = fetch(&mut client, &url).await.unwrap_err();
        assert!(missing.contains("unable to read specified client cert: unable to read file"));
    });
}

#[test]
fn a_plain_server_is_no_tls_server() {
    let server = FakeServer::http(|_| reply(""));
    let url = format!("https://{}/", server.address);
    check(
        "",
        &[&url],
        &[&format!("Get \"{url}\": http: server gave HTTP response to HTTPS client")],
    );
}

#[test]
fn credentials_and_headers() {
    let server = FakeServer::http(|asked| {
        reply(format!("{}|{}", asked.header("authorization"), asked.header("x-a")))
    });
    let url = server.url("/");
    let dir = Dir::new("credentials");
    check("basic_auth: {username: u, password: p}", &[&url], &["Basic dTpw|"]);
    check("authorization: {credentials: c}", &[&url], &["Bearer c|"]);
    check("bearer_token: c", &[&url], &["Bearer c|"]);
    check(
        "authorization: {type: X, credentials: c}\nhttp_headers: {x-a: {values: [v]}}",
        &[&url],
        &["X c|v"],
    );
    let file = dir.write("token", " one \n");
    let config = format!("authorization: {{credentials_file: {file}}}");
    check(&config, &[&url], &["Bearer one|"]);
    on_control(async {
        let mut client = Client::new(options(&config));
        assert_eq!(fetch(&mut client, &url).await.as_deref(), Ok("Bearer one|"));
        dir.write("token", "two");
        assert_eq!(fetch(&mut client, &url).await.as_deref(), Ok("Bearer two|"));
    });
    let missing = format!("basic_auth: {{username: u, password_file: {file}x}}");
    let error = format!(
        "Get \"{url}\": unable to read basic auth password: unable to read file {file}x: No such \
         file or directory (os error 2)"
    );
    check(&missing, &[&url], &[&error]);
    let mut reference = HttpClientConfig::default();
    yaml::decode("authorization: {credentials_ref: r}", &mut reference).ok().unwrap();
    assert!(ClientOptions::new("test", &reference).is_err());
}

#[test]
fn redirects_keep_credentials_at_home() {
    let away = FakeServer::http(|asked| {
        reply(format!("away {}|{}", asked.header("authorization"), asked.header("cookie")))
    });
    let target = format!("http://localhost:{}/x", away.address.split(':').next_back().unwrap());
    let home = FakeServer::http(move |asked| match asked.target.as_str() {
        "/away" => reply_status(302, ("location", &target)),
        "/here" => reply_status(307, ("location", "/end")),
        "/loop" => reply_status(302, ("location", "/loop")),
        "/bad" => reply_status(302, ("location", "http://[::1")),
        _ => reply(format!("{} home {}", asked.method, asked.header("authorization"))),
    });
    let config = "basic_auth: {username: u, password: p}\nhttp_headers: {cookie: {values: [c]}}";
    let (out, here) = (home.url("/away"), home.url("/here"));
    check(config, &[&out, &here, &out], &["away |", "GET home Basic dTpw", "away |"]);
    let by_url = here.replace("http://", "http://v:q@");
    check("", &[&by_url, &here], &["GET home Basic djpx", "GET home "]);
    check(config, &[&by_url], &["GET home Basic dTpw"]);
    let off = "follow_redirects: false\n";
    check(off, &[&here], &["server returned HTTP status 307 Temporary Redirect"]);
    let around = home.url("/loop");
    check("", &[&around], &["Get \"/loop\": stopped after 10 redirects"]);
    let bad = home.url("/bad");
    let why = "failed to parse Location header \"http://[::1\": parse \"http://[::1\": missing ']' in \
               host";
    check("", &[&bad], &[&format!("Get {bad:?}: {why}")]);
    on_control(async {
        let url = Url::parse(&here).unwrap();
        let headers = HeaderMap::new();
        let mut client = Client::new(options(""));
        let mut body = vec![];
        let ask = Ask::post(&url, &headers, "b", 1000);
        assert_eq!(client.send(&ask, &mut body).await.unwrap().status, StatusCode::OK);
        assert_eq!(body, b"POST home ");
    });
}

#[test]
fn names_below_a_host_belong_to_it() {
    let url = |host: &str| Url::parse(&format!("http://{host}/")).unwrap();
    for (origin, next, expected) in [
        ("a.example", "A.example:81", false),
        ("a.example", "b.a.example", false),
        ("a.example", "example", true),
        ("a.example", "ba.example", true),
    ] {
        assert_eq!(is_other_host(&url(origin), &url(next)), expected, "{origin} {next}");
    }
}

#[test]
fn a_body_is_taken_in_pieces_or_left() {
    let server =
        FakeServer::http(|asked| reply(format!("{}{}", asked.connection, "y".repeat(200_000))));
    let url = Url::parse(&server.url("/")).unwrap();
    on_control(async {
        let mut client = Client::new(ClientOptions::plain());
        let headers = HeaderMap::new();
        let ask = Ask::get(&url, &headers, 1000);
        assert_eq!(client.open(&ask).await.unwrap().status, StatusCode::OK);
        let mut len = 0;
        while let Some(bytes) = client.chunk().await {
            len += bytes.unwrap().len();
        }
        assert_eq!(len, 200_001);
        let mut room = Room::default();
        assert_eq!(client.get(&ask, &mut room).await, Err(FetchError::BodyTooLarge));
        assert_eq!(client.open(&ask).await.unwrap().status, StatusCode::OK);
        let whole = Ask::get(&url, &headers, 1 << 20);
        client.get(&whole, &mut room).await.unwrap();
        assert_eq!(room.body()[0], b'3', "connections whose bodies were left are not used again");
    });
}

#[test]
fn connections_are_counted() {
    let server = FakeServer::http(|_| reply("x"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let check = |name: &str, url: &str, expected: dials::DialCounts| {
        let config = HttpClientConfig { follow_redirects: true, ..HttpClientConfig::default() };
        let options = ClientOptions::new(name, &config).unwrap();
        on_control(async {
            let mut client = Client::new(options);
            // Twice over one connection.
            let _ = fetch(&mut client, url).await;
            let _ = fetch(&mut client, url).await;
        });
        assert_eq!(dials::of(name).read(), expected, "{name}");
    };
    let counts = |attempted, established, closed, failed| dials::DialCounts {
        attempted,
        established,
        closed,
        failed,
    };
    check("tests::good", &server.url("/"), counts(1, 1, 1, [0; 4]));
    check("tests::nobody", &nobody, counts(2, 0, 0, [2, 0, 0, 2]));
}

#[test]
fn sockets_in_the_file_system() {
    let dir = Dir::new("unix");
    let path = dir.0.join("s").display().to_string();
    let server = FakeServer::unix(&path, |asked| {
        reply(format!("{} {}", asked.target, asked.header("host")))
    });
    let run = async |path: &str| {
        let url = Url::parse("http://localhost/m").unwrap();
        let headers = HeaderMap::new();
        let ask = Ask { unix_socket: path, ..Ask::get(&url, &headers, 1000) };
        let mut room = Room::default();
        let got = Client::new(ClientOptions::plain()).get(&ask, &mut room).await;
        got.map(|_| String::from_utf8(room.body().to_vec()).unwrap())
            .map_err(|error| error.to_string())
    };
    assert_eq!(on_control(run(&path)).as_deref(), Ok("/m localhost"));
    let shard_path = path.clone();
    let on_shard = shards::runtime::run(move || async move { run(&shard_path).await }).unwrap();
    assert_eq!(on_shard.as_deref(), Ok("/m localhost"));
    drop(server);
    let missing = format!("{path}x");
    let error = format!(
        "Get \"http://localhost/m\": dial unix {missing}: connect: no such file or directory"
    );
    assert_eq!(on_control(run(&missing)), Err(error));
}

/// A proxy for one connection after the other; returns its address and what it was told.
fn proxy(reply: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let told = Arc::new(Mutex::new(vec![]));
    let log = told.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, log) = (stream.unwrap(), log.clone());
            std::thread::spawn(move || {
                let mut head = vec![];
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).unwrap_or(0) == 0 {
                        return;
                    }
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.split(' ').nth(1).unwrap().to_owned();
                log.lock().unwrap().push(head);
                stream.write_all(reply.as_bytes()).unwrap();
                if !reply.starts_with("HTTP/1.1 200 Established") {
                    return;
                }
                let onward = std::net::TcpStream::connect(target).unwrap();
                let (mut from, mut to) = (onward.try_clone().unwrap(), stream.try_clone().unwrap());
                let back = std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                // Either side may go away first.
                let _ = std::io::copy(&mut stream, &mut &onward);
                let _ = onward.shutdown(std::net::Shutdown::Both);
                let _ = back.join();
            });
        }
    });
    (address, told)
}

#[test]
fn proxies() {
    let issued = Authority::default().issue("a.example");
    let server = FakeServer::start(Some(server_tls(&issued, None, &[])), |asked| {
        reply(asked.target.clone())
    });
    let url = format!("https://{}/m", server.address);
    let (address, told) = proxy("HTTP/1.1 200 Established\r\n\r\n");
    let config = format!(
        "tls_config: {{insecure_skip_verify: true}}\nproxy_url: http://u:p@{address}\n\
         proxy_connect_header: {{x-c: [v]}}\n"
    );
    check(&config, &[&url, &url], &["/m", "/m"]);
    let connect = format!(
        "CONNECT {0} HTTP/1.1\r\nHost: {0}\r\nx-c: v\r\nproxy-authorization: Basic dTpw\r\n\r\n",
        server.address
    );
    assert_eq!(*told.lock().unwrap(), [connect.clone(), connect], "once a connection");
    // Local targets are asked directly as soon as there are exceptions.
    let direct = format!("{config}no_proxy: x\n");
    check(&direct, &[&url], &["/m"]);
    assert_eq!(told.lock().unwrap().len(), 2);

    let (address, told) = proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    let config = format!("proxy_url: http://{address}\n");
    check(&config, &[&url], &[&format!("Get \"{url}\": Proxy Authentication Required")]);
    drop(told);

    let (address, told) = proxy("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup");
    let config = format!("proxy_url: http://u:p@{address}\n");
    check(&config, &["http://no.such.example:9/m?x=1"], &["up"]);
    let told = told.lock().unwrap();
    assert!(told[0].starts_with("GET http://no.such.example:9/m?x=1 HTTP/1.1\r\n"), "{}", told[0]);
    assert!(told[0].contains("proxy-authorization: Basic dTpw\r\n"), "{}", told[0]);
}

#[test]
fn socks() {
    let server = FakeServer::http(|asked| reply(asked.target.clone()));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let onward = server.address.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut take = |len: usize, answer: &[u8]| {
                let mut bytes = vec![0; len];
                stream.read_exact(&mut bytes).unwrap();
                stream.write_all(answer).unwrap();
                bytes
            };
            assert_eq!(take(3, &[5, 2]), [5, 1, 2]);
            assert_eq!(take(5, &[1, 0]), [1, 1, b'u', 1, b'p']);
            assert_eq!(take(8, &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]), [5, 1, 0, 3, 1, b'a', 0, 80]);
            let onward = std::net::TcpStream::connect(&onward).unwrap();
            let (mut from, mut to) = (onward.try_clone().unwrap(), stream.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || std::io::copy(&mut stream, &mut &onward));
        }
    });
    check(&format!("proxy_url: socks5://u:p@{address}\n"), &["http://a/m"], &["/m"]);
}

#[test]
fn tokens_are_fetched_once_and_renewed() {
    let granted = Mutex::new(0);
    let tokens = FakeServer::http(move |asked| {
        // This server wants the credentials in the form.
        if !asked.header("authorization").is_empty() {
            return reply_status(401, ("x-a", "b"));
        }
        assert_eq!(
            String::from_utf8_lossy(&asked.body),
            "client_id=me&client_secret=s%26&e=1&grant_type=client_credentials&scope=a+b"
        );
        let mut granted = granted.lock().unwrap();
        *granted += 1;
        let lifetime = if *granted == 1 { 5 } else { 3600 };
        reply_json(format!(r#"{{"access_token":"t{granted}","expires_in":{lifetime}}}"#))
    });
    let server = FakeServer::http(|asked| reply(asked.header("authorization")));
    let url = server.url("/");
    let config = format!(
        "oauth2: {{client_id: me, client_secret: 's&', scopes: [a, b], endpoint_params: {{e: '1'}}, \
         token_url: '{}'}}",
        tokens.url("/t")
    );
    on_control(async {
        let options = options(&config);
        let mut client = Client::new(options.clone());
        // The first expires too soon to be used twice.
        assert_eq!(fetch(&mut client, &url).await.as_deref(), Ok("Bearer t1"));
        assert_eq!(fetch(&mut client, &url).await.as_deref(), Ok("Bearer t2"));
        let mut other = Client::new(options);
        assert_eq!(fetch(&mut other, &url).await.as_deref(), Ok("Bearer t2"));
    });
    assert_eq!(tokens.asked().len(), 3, "the refused way, then once a token");
    let refused = FakeServer::http(|_| reply_status(403, ("x-a", "b")));
    let config =
        format!("oauth2: {{client_id: me, client_secret: s, token_url: '{}'}}", refused.url("/"));
    let error = format!("Get \"{url}\": oauth2: cannot fetch token: 403 Forbidden\nResponse: ");
    check(&config, &[&url], &[&error]);
}
