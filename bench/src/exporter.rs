//! Scrape targets on loopback: pages like node_exporter's, with values that move.
//!
//! All of a page but its values is rendered once; a scrape copies that text and prints the values
//! between. One thread serves all targets.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::workload::{Values, instance_series};

/// Targets that are served until dropped.
pub struct Exporter {
    pub address: SocketAddr,
    pub samples_served: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Page {
    /// Everything but the values: comments, names and labels.
    fixed: Vec<u8>,
    /// Where each value belongs in `fixed`.
    value_offsets: Vec<u32>,
    values: Values,
    /// The page as it was served last.
    text: Vec<u8>,
}

impl Page {
    fn new(target: usize, series_count: usize) -> Page {
        let series = instance_series(target, series_count);
        let mut page = Page {
            fixed: Vec::new(),
            value_offsets: Vec::with_capacity(series.len()),
            values: Values::new(series.iter().map(|one| one.kind), target as u64 + 1),
            text: Vec::new(),
        };
        let mut last_name = "";
        for one in &series {
            let name = one.labels[0].1.as_str();
            if name != last_name {
                let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
                let head =
                    format!("# HELP {name} A series of the workload.\n# TYPE {name} {kind}\n");
                page.fixed.extend_from_slice(head.as_bytes());
                last_name = name;
            }
            page.fixed.extend_from_slice(name.as_bytes());
            // `instance`, `job` and `cluster` are the scraper's to set.
            let own = one
                .labels
                .iter()
                .filter(|(name, _)| !["__name__", "instance", "job", "cluster"].contains(name));
            for (index, (label, value)) in own.clone().enumerate() {
                let lead = if index == 0 { '{' } else { ',' };
                page.fixed.extend_from_slice(format!("{lead}{label}={value:?}").as_bytes());
            }
            if own.count() > 0 {
                page.fixed.push(b'}');
            }
            page.fixed.push(b' ');
            page.value_offsets.push(page.fixed.len() as u32);
            page.fixed.push(b'\n');
        }
        page
    }

    /// Renders the page with the next values.
    fn render(&mut self) {
        self.text.clear();
        let mut copied = 0;
        for (index, &at) in self.value_offsets.iter().enumerate() {
            self.text.extend_from_slice(&self.fixed[copied..at as usize]);
            copied = at as usize;
            write!(self.text, "{}", self.values.step(index)).expect("writing to memory succeeds");
        }
        self.text.extend_from_slice(&self.fixed[copied..]);
    }
}

impl Exporter {
    /// Serves `target_count` targets of `series_count` series each at `/t/<index>/metrics`.
    pub fn start(target_count: usize, series_count: usize) -> Result<Exporter> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let samples_served = Arc::new(AtomicU64::new(0));
        let mut pages: Vec<Page> =
            (0..target_count).map(|target| Page::new(target, series_count)).collect();
        let thread = std::thread::spawn({
            let (stop, served) = (stop.clone(), samples_served.clone());
            move || serve(&listener, &mut pages, &stop, &served)
        });
        Ok(Exporter { address, samples_served, stop, thread: Some(thread) })
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Client {
    stream: TcpStream,
    request: Vec<u8>,
}

/// Serves all connections from one thread: poll, answer whole requests, close broken ones.
fn serve(listener: &TcpListener, pages: &mut [Page], stop: &AtomicBool, served: &AtomicU64) {
    let mut clients: Vec<Client> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let mut busy = false;
        while let Ok((stream, _)) = listener.accept() {
            busy = true;
            let _ = stream.set_nodelay(true);
            let _ = stream.set_nonblocking(true);
            clients.push(Client { stream, request: Vec::new() });
        }
        clients.retain_mut(|client| match client.poll(pages, served) {
            Ok(progress) => {
                busy |= progress;
                true
            }
            Err(_) => false,
        });
        if !busy {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

impl Client {
    fn poll(&mut self, pages: &mut [Page], served: &AtomicU64) -> Result<bool> {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.request.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        if !self.request.ends_with(b"\r\n\r\n") {
            return Ok(true);
        }
        let target = std::str::from_utf8(&self.request).ok().and_then(|text| {
            text.strip_prefix("GET /t/")?.split('/').next()?.parse::<usize>().ok()
        });
        self.request.clear();
        self.stream.set_nonblocking(false)?;
        match target.and_then(|target| pages.get_mut(target)) {
            Some(page) => {
                page.render();
                write!(
                    self.stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
                     Content-Length: {}\r\n\r\n",
                    page.text.len()
                )?;
                self.stream.write_all(&page.text)?;
                served.fetch_add(page.value_offsets.len() as u64, Ordering::Relaxed);
            }
            None => {
                self.stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?
            }
        }
        self.stream.set_nonblocking(true)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::Exporter;
    use crate::client::Connection;

    #[test]
    fn a_page_has_as_many_samples_as_series_and_moves() {
        let exporter = Exporter::start(2, 300).unwrap();
        let mut connection = Connection::open(exporter.address).unwrap();
        let first = connection.get("/t/1/metrics").unwrap();
        let second = connection.get("/t/1/metrics").unwrap();
        let text = String::from_utf8(first.body.clone()).unwrap();
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 300);
        assert_ne!(first.body, second.body);
        assert_eq!(connection.get("/t/7/metrics").unwrap().status, 404);
    }
}
