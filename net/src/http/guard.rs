//! Who may ask, how often, and what every answer carries: the web server's file in force.
//!
//! ```text
//! connection   tls: none, or how to shake hands
//! request      rate -> 429    headers added    users -> 401    -> service
//! ```
//!
//! Passwords are compared by bcrypt on a thread of the pool, one at a time, and the outcome of the
//! last hundred is kept: a hash costs a tenth of a second.
//!
//! Source: prometheus/exporter-toolkit `web/handler.go`, `web/cache.go`; golang.org/x/time/rate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use ring::digest::{SHA256, digest};
use shards::runtime;

use crate::config::web::{RateLimit, WebConfig};

use super::encoding::base64_decode;
use super::tls::server::server_config;
use super::{Response, text_error};

/// Outcomes that are kept.
const OUTCOME_COUNT_MAX: usize = 100;

/// Compared where there is no such user, so that the time tells nothing: of "fakepassword".
const NOBODY: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// What is in force, for all shards. A new file takes its place as a whole.
pub struct Guard {
    rules: Mutex<Arc<Rules>>,
    /// By user, hash and password.
    outcomes: Mutex<HashMap<[u8; 32], bool, FixedState>>,
    /// Held by whoever compares.
    comparing: (async_channel::Sender<()>, async_channel::Receiver<()>),
}

/// One file, made ready.
#[derive(Default)]
pub struct Rules {
    /// None: connections are not encrypted.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    headers: HeaderMap,
    /// Hashes by user; empty: everybody may ask.
    users: HashMap<String, String, FixedState>,
    limit: RateLimit,
    limiter: Option<Mutex<Limiter>>,
}

impl Rules {
    /// Reads what the file names.
    ///
    /// Errors: exporter-toolkit's texts.
    pub fn new(config: &WebConfig) -> Result<Rules, String> {
        let tls = if config.tls.is_enabled() {
            let pem = config.tls.read()?;
            Some(server_config(&config.tls, &pem, config.http.http2)?)
        } else {
            None
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &config.http.headers {
            let bad = |_| format!("HTTP header {name:?} can not be configured");
            let value =
                HeaderValue::from_str(value).map_err(|_| format!("invalid value for {name}"))?;
            headers.insert(name.parse::<HeaderName>().map_err(bad)?, value);
        }
        let users = config.users.iter();
        let limit = config.rate_limit.clone();
        Ok(Rules {
            tls,
            headers,
            users: users.map(|(name, hash)| (name.clone(), hash.reveal().to_owned())).collect(),
            limiter: Limiter::new(&limit).map(Mutex::new),
            limit,
        })
    }
}

impl Default for Guard {
    fn default() -> Self {
        let comparing = async_channel::bounded(1);
        Guard { rules: Mutex::default(), outcomes: Mutex::default(), comparing }
    }
}

impl Guard {
    pub fn new(rules: Rules) -> Guard {
        Guard { rules: Mutex::new(Arc::new(rules)), ..Guard::default() }
    }

    /// Puts a new file in force. An unchanged limit goes on where it was.
    pub fn replace(&self, mut rules: Rules) {
        let mut current = locked(&self.rules);
        if let (Some(limiter), Some(before)) = (&mut rules.limiter, &current.limiter)
            && rules.limit == current.limit
        {
            *limiter = Mutex::new(*locked(before));
        }
        *current = Arc::new(rules);
    }

    pub fn rules(&self) -> Arc<Rules> {
        locked(&self.rules).clone()
    }

    /// Judges a request by its headers; the answer to one that is refused.
    pub async fn admit(&self, rules: &Rules, headers: &HeaderMap) -> Result<(), Response> {
        if let Some(limiter) = &rules.limiter
            && !locked(limiter).allows(runtime::now())
        {
            return Err(text_error(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"));
        }
        if rules.users.is_empty() {
            return Ok(());
        }
        if let Some((user, password)) = credentials(headers)
            && self.knows(rules, user, password).await
        {
            return Ok(());
        }
        let mut refusal = text_error(StatusCode::UNAUTHORIZED, "Unauthorized");
        refusal.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        rules.add_headers(&mut refusal);
        Err(refusal)
    }

    async fn knows(&self, rules: &Rules, user: String, password: String) -> bool {
        let hash = rules.users.get(&user);
        let is_user = hash.is_some();
        let hash = hash.map_or(NOBODY, String::as_str).to_owned();
        // No part holds a zero but the last.
        let key = digest(&SHA256, format!("{}:{user}\0{hash}\0{password}", user.len()).as_bytes());
        let key: [u8; 32] = key.as_ref().try_into().expect("SHA-256 has 32 bytes");
        if let Some(&is_same) = locked(&self.outcomes).get(&key) {
            // The hash that stands for nobody's may be that of a user of another time.
            return is_user && is_same;
        }
        let _ = self.comparing.0.send(()).await;
        let place = Place(self.comparing.1.clone());
        let is_same =
            runtime::blocking(move || bcrypt::verify(password.as_bytes(), &hash).unwrap_or(false))
                .await;
        drop(place);
        let mut outcomes = locked(&self.outcomes);
        if outcomes.len() >= OUTCOME_COUNT_MAX
            && let Some(any) = outcomes.keys().next().copied()
        {
            outcomes.remove(&any);
        }
        outcomes.insert(key, is_same);
        is_user && is_same
    }
}

impl Rules {
    /// Adds what every answer carries, but to one that says it itself.
    pub fn add_headers(&self, response: &mut Response) {
        for (name, value) in &self.headers {
            response.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
    }
}

/// The right to compare; given back when dropped, also with a request that is dropped.
struct Place(async_channel::Receiver<()>);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.0.try_recv();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Plain values, whole after every assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// User and password of a request that has them.
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = text.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case("basic ") {
        return None;
    }
    let decoded = String::from_utf8(base64_decode(encoded)?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// A bucket of tokens: one more each interval, at most `burst`.
#[derive(Clone, Copy, Debug)]
struct Limiter {
    interval: Duration,
    burst: f64,
    tokens: f64,
    last: Instant,
}

impl Limiter {
    fn new(limit: &RateLimit) -> Option<Limiter> {
        let nanoseconds = limit.interval.0;
        if nanoseconds <= 0 {
            return None;
        }
        let burst = limit.burst.max(0) as f64;
        let interval = Duration::from_nanos(nanoseconds as u64);
        Some(Limiter { interval, burst, tokens: burst, last: runtime::now() })
    }

    fn allows(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.last).as_secs_f64();
        self.last = now;
        self.tokens = (self.tokens + passed / self.interval.as_secs_f64()).min(self.burst);
        let allows = self.tokens >= 1.0;
        if allows {
            self.tokens -= 1.0;
        }
        allows
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn rules(text: &str) -> Rules {
        Rules::new(&WebConfig::parse(text, Path::new("")).unwrap()).unwrap()
    }

    /// Status of a request with this `Authorization`, and the refusal's headers.
    fn ask(guard: &Guard, authorization: &str) -> (u16, HeaderMap) {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        let rules = guard.rules();
        match crate::http::testing::on_control(guard.admit(&rules, &headers)) {
            Ok(()) => (200, HeaderMap::new()),
            Err(refusal) => (refusal.status().as_u16(), refusal.headers().clone()),
        }
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", crate::http::encoding::base64(pair.as_bytes()))
    }

    #[test]
    fn users_show_their_password() {
        let hash = bcrypt::hash("open sesame", 4).unwrap();
        let text = format!(
            "basic_auth_users: {{ali: {hash}}}\nhttp_server_config: {{headers: \
             {{X-Frame-Options: deny}}}}\n"
        );
        let guard = Guard::new(rules(&text));
        for _ in 0..2 {
            assert_eq!(ask(&guard, &basic("ali:open sesame")).0, 200);
            assert_eq!(ask(&guard, &basic("ali:open")).0, 401);
            assert_eq!(ask(&guard, &basic("baba:fakepassword")).0, 401);
        }
        let (status, headers) = ask(&guard, "");
        assert_eq!((status, &headers[header::WWW_AUTHENTICATE]), (401, &"Basic".parse().unwrap()));
        assert_eq!(headers["x-frame-options"], "deny");
        for broken in ["Bearer x", "Basic", "Basic %%", &basic("ali")] {
            assert_eq!(ask(&guard, broken).0, 401, "{broken}");
        }
        guard.replace(rules(""));
        assert_eq!(ask(&guard, "").0, 200);
    }

    #[test]
    fn outcomes_are_bounded() {
        let hash = bcrypt::hash("x", 4).unwrap();
        let guard = Guard::new(rules(&format!("basic_auth_users: {{a: {hash}}}\n")));
        for number in 0..OUTCOME_COUNT_MAX + 5 {
            assert_eq!(ask(&guard, &basic(&format!("a:{number}"))).0, 401);
        }
        assert_eq!(locked(&guard.outcomes).len(), OUTCOME_COUNT_MAX);
    }

    #[test]
    fn tokens_come_with_time() {
        let rules = rules("rate_limit: {burst: 2, interval: 10s}\n");
        let limiter = rules.limiter.unwrap();
        let start = locked(&limiter).last;
        let allows = |seconds| locked(&limiter).allows(start + Duration::from_secs(seconds));
        assert_eq!(
            [0, 0, 0, 9, 11, 12, 40, 40, 40].map(allows),
            [true, true, false, false, true, false, true, true, false]
        );
    }
}
