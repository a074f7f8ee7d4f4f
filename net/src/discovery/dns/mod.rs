//! `dns_sd_configs`: records of names. Asks the system's name servers itself, because the system's
//! resolver gives addresses only.
//!
//! Source: Prometheus `discovery/dns/dns.go`, miekg/dns `clientconfig.go`.

mod message;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use engine::model::Labels;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use self::message::{Answer, Record, RecordType, UDP_BYTES_MAX, answer, question};
use super::TargetGroup;
use super::api::{Meta, group, host_port};
use super::stats::DiscoveryStats;
use crate::config::DnsSdConfig;
use crate::{log_error, log_warn};

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// How long one server may take.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);

const NO_SUCH_NAME: u8 = 3;

/// Where to ask, and how names are completed.
#[derive(Debug, PartialEq, Eq)]
struct Resolver {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    /// A name with at least as many dots is tried as it is first.
    dot_count_min: usize,
}

/// A name that cannot be looked up keeps its group: it is left out of the answer only if it has
/// none. Errors: no name could be looked up, or the system's configuration cannot be read.
pub async fn refresh(
    config: &DnsSdConfig,
    before: &[TargetGroup],
    stats: &DiscoveryStats,
) -> Result<Vec<TargetGroup>, String> {
    let text = fs::read_to_string(RESOLV_CONF);
    let text = text.map_err(|error| format!("could not load resolv.conf: {error}"))?;
    refresh_by(&Resolver::parse(&text), config, before, stats).await
}

async fn refresh_by(
    resolver: &Resolver,
    config: &DnsSdConfig,
    before: &[TargetGroup],
    stats: &DiscoveryStats,
) -> Result<Vec<TargetGroup>, String> {
    let mut groups = vec![];
    for name in &config.names {
        stats.counts().dns_lookups += 1;
        match resolver.lookup(name, RecordType::from_text(&config.kind)).await {
            Ok(records) => {
                let targets = records.iter().map(|record| target(name, record, config.port));
                groups.push(group(name.clone(), Labels::default(), targets.collect()));
            }
            Err(why) => {
                stats.counts().dns_failures += 1;
                log_error!("Error refreshing DNS targets", "err" = why);
                groups.extend(before.iter().find(|group| group.source == *name).cloned());
            }
        }
    }
    Ok(groups)
}

fn target(name: &str, record: &Record, port: i64) -> Labels {
    let mut meta = Meta::new("__meta_dns_");
    meta.set("name", name);
    let bare = |name: &str| name.trim_end_matches('.').to_owned();
    match record {
        Record::Address(address) => meta.address(host_port(&address.to_string(), port)),
        Record::Ns(host) => {
            meta.set("ns_record_target", host).address(host_port(&bare(host), port))
        }
        Record::Mx(host) => {
            meta.set("mx_record_target", host).address(host_port(&bare(host), port))
        }
        Record::Srv { target, port } => meta
            .set("srv_record_target", target)
            .set("srv_record_port", port.to_string())
            .address(host_port(&bare(target), port)),
    };
    meta.finish()
}

impl Resolver {
    fn parse(text: &str) -> Resolver {
        let mut resolver = Resolver { servers: vec![], search: vec![], dot_count_min: 1 };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    resolver.servers.extend(address.map(|address| SocketAddr::new(address, 53)));
                }
                Some("domain" | "search") => {
                    resolver.search =
                        words.map(|word| word.trim_end_matches('.').to_owned()).collect();
                }
                Some("options") => {
                    let ndots = words.find_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    resolver.dot_count_min = ndots.unwrap_or(resolver.dot_count_min).min(15);
                }
                _ => {}
            }
        }
        resolver
    }

    /// What a name may mean, in the order in which it is tried.
    fn names(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let whole = format!("{name}.");
        let completed = self.search.iter().map(|domain| format!("{name}.{domain}."));
        if name.matches('.').count() >= self.dot_count_min {
            std::iter::once(whole).chain(completed).collect()
        } else {
            completed.chain([whole]).collect()
        }
    }

    /// No records if every name is known not to exist.
    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Vec<Record>, String> {
        let mut all_answered = true;
        for candidate in self.names(name) {
            match self.ask_any(&candidate, kind).await {
                Some(Answer { code: 0, records, .. }) => return Ok(records),
                Some(_) => {}
                None => all_answered = false,
            }
        }
        if all_answered {
            return Ok(vec![]);
        }
        Err(format!(
            "could not resolve {name:?}: all servers responded with errors to at least one search \
             domain"
        ))
    }

    async fn ask_any(&self, name: &str, kind: RecordType) -> Option<Answer> {
        for &server in &self.servers {
            let asked = tokio::time::timeout(SERVER_TIMEOUT, ask(server, name, kind)).await;
            match asked.unwrap_or_else(|_| Err("i/o timeout".to_owned())) {
                Ok(answer) if answer.code == 0 || answer.code == NO_SUCH_NAME => {
                    return Some(answer);
                }
                Ok(_) => {}
                Err(why) => {
                    log_warn!(
                        "DNS resolution failed",
                        "server" = server,
                        "name" = name,
                        "err" = why
                    );
                }
            }
        }
        None
    }
}

/// Asks one server, by TCP where the answer is too long for UDP.
async fn ask(server: SocketAddr, name: &str, kind: RecordType) -> Result<Answer, String> {
    let io = |error: std::io::Error| error.to_string();
    let mut id = [0; 2];
    SystemRandom::new().fill(&mut id).map_err(|_| "no random numbers".to_owned())?;
    let id = u16::from_be_bytes(id);
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).await.map_err(io)?;
    socket.connect(server).await.map_err(io)?;
    socket.send(&question(id, name, kind, true)?).await.map_err(io)?;
    let mut bytes = vec![0; UDP_BYTES_MAX];
    loop {
        let len = socket.recv(&mut bytes).await.map_err(io)?;
        match answer(&bytes[..len], id) {
            Some(answer) if answer.is_truncated => break,
            Some(answer) => return Ok(answer),
            // Somebody else's answer, or none at all.
            None => {}
        }
    }
    let mut stream = TcpStream::connect(server).await.map_err(io)?;
    let asked = question(id, name, kind, false)?;
    let framed = [&(asked.len() as u16).to_be_bytes()[..], &asked].concat();
    stream.write_all(&framed).await.map_err(io)?;
    let len = stream.read_u16().await.map_err(io)?;
    bytes.resize(usize::from(len), 0);
    stream.read_exact(&mut bytes).await.map_err(io)?;
    answer(&bytes, id).ok_or_else(|| "the answer cannot be read".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::api::testing::check;

    #[test]
    fn names_are_completed() {
        let resolver = Resolver::parse(
            "# c\nnameserver 10.0.0.1\nnameserver ::1\nsearch a.b c.\noptions x ndots:2\n",
        );
        assert_eq!(resolver.servers, ["10.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!(resolver.names("x."), ["x."]);
        assert_eq!(resolver.names("x.y"), ["x.y.a.b.", "x.y.c.", "x.y."]);
        assert_eq!(resolver.names("x.y.z"), ["x.y.z.", "x.y.z.a.b.", "x.y.z.c."]);
    }

    /// Answers every question about `srv.test.` with a record, about `gone.` with "no such name",
    /// and fails at everything else. Long answers are told to be asked for by TCP.
    fn server() -> SocketAddr {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = udp.local_addr().unwrap();
        let tcp = std::net::TcpListener::bind(address).unwrap();
        let reply = |asked: &[u8], is_udp: bool| {
            let head_end = 12 + asked[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
            let name = &asked[12..head_end - 5];
            let mut out = asked[..head_end].to_vec();
            out[2] = 0x81;
            out[11] = 0;
            if name == b"\x03srv\x04test" {
                if is_udp {
                    out[2] |= 2;
                    return out;
                }
                out[7] = 1;
                out.extend(
                    b"\xc0\x0c\0\x21\0\x01\0\0\0\x3c\0\x0a\0\x01\0\x02\x1f\x90\x01x\xc0\x10",
                );
            } else {
                out[3] = if name == b"\x04gone" { 3 } else { 2 };
            }
            out
        };
        std::thread::spawn(move || {
            let mut bytes = [0; 1000];
            while let Ok((len, from)) = udp.recv_from(&mut bytes) {
                udp.send_to(&reply(&bytes[..len], true), from).unwrap();
            }
        });
        std::thread::spawn(move || {
            use std::io::{Read, Write};
            for stream in tcp.incoming() {
                let mut stream = stream.unwrap();
                let mut len = [0; 2];
                stream.read_exact(&mut len).unwrap();
                let mut asked = vec![0; usize::from(u16::from_be_bytes(len))];
                stream.read_exact(&mut asked).unwrap();
                let out = reply(&asked, false);
                stream.write_all(&(out.len() as u16).to_be_bytes()).unwrap();
                stream.write_all(&out).unwrap();
            }
        });
        address
    }

    #[test]
    fn records() {
        let resolver = Resolver { servers: vec![server()], search: vec![], dot_count_min: 1 };
        let names = ["srv.test.", "gone.", "broken."].map(str::to_owned).to_vec();
        let config = DnsSdConfig { names, ..DnsSdConfig::default() };
        let stats = DiscoveryStats::default();
        let before = [group("broken.", Labels::default(), vec![])];
        check(
            refresh_by(&resolver, &config, &before, &stats),
            r#"
srv.test. {}
  {__address__="x.test:8080", __meta_dns_name="srv.test.", __meta_dns_srv_record_port="8080", __meta_dns_srv_record_target="x.test."}
gone. {}
broken. {}"#,
        );
        let counts = stats.counts().clone();
        assert_eq!((counts.dns_lookups, counts.dns_failures), (3, 1));
    }
}
