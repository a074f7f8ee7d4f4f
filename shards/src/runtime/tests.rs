use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::observe::{Event, Reporter};

async fn read(stream: &mut TcpStream, room: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![MaybeUninit::uninit(); room];
    let count = poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await?;
    // The contract under test says that so many bytes are initialised; copying them one by one
    // keeps this test free of unsafe code.
    let mut bytes = vec![0; count];
    bytes.iter_mut().zip(&buffer).for_each(|(byte, read)| *byte = assume_init(*read));
    Ok(bytes)
}

#[allow(unsafe_code)]
fn assume_init(byte: MaybeUninit<u8>) -> u8 {
    // SAFETY: `poll_read` initialised the bytes that it counted.
    unsafe { byte.assume_init() }
}

async fn write_all(stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = poll_fn(|cx| stream.poll_write(cx, bytes)).await?;
        bytes = &bytes[count..];
    }
    poll_fn(|cx| stream.poll_flush(cx)).await
}

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

async fn echo(mut stream: TcpStream, room: usize) {
    loop {
        let bytes = read(&mut stream, room).await.unwrap();
        if bytes.is_empty() {
            return poll_fn(|cx| stream.poll_close(cx)).await.unwrap();
        }
        write_all(&mut stream, &bytes).await.unwrap();
    }
}

#[test]
fn a_connection_echoes_whatever_the_size_of_the_buffers() {
    run(|| async {
        let listener = TcpListener::bind_reuseport(any_port()).unwrap();
        let address = listener.local_addr();
        for room in [1, 2, 7, 4096, 1 << 20] {
            let client = spawn(Class::Request, async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                assert_eq!(stream.peer_addr(), address);
                // More than the sockets' buffers hold, so that both sides wait for readiness.
                let length = if room < 1000 { 10_000 } else { 600_000 };
                let sent: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
                let mut received = Vec::new();
                for (number, part) in sent.chunks(100_000).enumerate() {
                    write_all(&mut stream, part).await.unwrap();
                    while received.len() < number * 100_000 + part.len() {
                        let bytes = read(&mut stream, 9_999).await.unwrap();
                        assert_ne!(bytes.len(), 0, "the stream ended early");
                        received.extend(bytes);
                    }
                }
                poll_fn(|cx| stream.poll_close(cx)).await.unwrap();
                assert_eq!(read(&mut stream, 10).await.unwrap(), b"");
                assert!(received == sent);
            });
            let server = spawn(Class::Request, echo(listener.accept().await.unwrap(), room));
            client.await;
            server.await;
        }
        assert_eq!(panic_count(), 0);
    })
    .unwrap();
}

#[test]
fn vectored_writes_wait_for_a_slow_reader() {
    run(|| async {
        let listener = TcpListener::bind_reuseport(any_port()).unwrap();
        let address = listener.local_addr();
        const LENGTH: usize = 20 << 20;
        let writer = spawn(Class::Request, async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let part = vec![7u8; 64 << 10];
            let mut left = LENGTH;
            while left > 0 {
                let end = part.len().min(left);
                let slices =
                    [io::IoSlice::new(&part[..end / 3]), io::IoSlice::new(&part[end / 3..end])];
                left -= poll_fn(|cx| stream.poll_write_vectored(cx, &slices)).await.unwrap();
            }
        });
        let mut stream = listener.accept().await.unwrap();
        sleep(Duration::from_millis(5)).await;
        let mut total = 0;
        loop {
            let bytes = read(&mut stream, 64 << 10).await.unwrap();
            total += bytes.len();
            assert!(bytes.iter().all(|&byte| byte == 7));
            if bytes.is_empty() {
                break;
            }
        }
        writer.await;
        assert_eq!(total, LENGTH);
    })
    .unwrap();
}

#[test]
fn listeners_share_a_port_but_a_taken_address_is_noticed() {
    run(|| async {
        let first = TcpListener::bind_reuseport(any_port()).unwrap();
        let address = first.local_addr();
        let _second = TcpListener::bind_reuseport(address).unwrap();
        let taken = check_address_free(address).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        check_address_free(any_port()).unwrap();
    })
    .unwrap();
}

#[test]
fn a_refused_connection_is_an_error() {
    run(|| async {
        let listener = TcpListener::bind_reuseport(any_port()).unwrap();
        let address = listener.local_addr();
        drop(listener);
        let Err(error) = TcpStream::connect(address).await else { panic!("nobody listens") };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    })
    .unwrap();
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Reporter for Heard {
    fn report(&self, event: Event) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

/// Runs itself once more as a process of its own, which has to end by it.
#[test]
fn a_panic_in_storage_ends_the_process() {
    const IS_CHILD: &str = "A_PANIC_IN_STORAGE";
    if std::env::var_os(IS_CHILD).is_some() {
        run(|| async { spawn(Class::Storage, async { panic!("the store is odd") }).await })
            .unwrap();
        return;
    }
    let own = std::env::current_exe().unwrap();
    let ended = std::process::Command::new(own)
        .args(["--exact", "runtime::tests::a_panic_in_storage_ends_the_process"])
        .env(IS_CHILD, "1")
        .output()
        .unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&ended.status);
    assert_eq!(signal, Some(libc::SIGABRT), "{ended:?}");
}

#[test]
fn a_panic_ends_at_its_task() {
    let heard = Arc::new(Heard::default());
    let reporter = heard.clone();
    run(|| async {
        set_reporter(reporter);
        spawn(Class::Request, async { panic!("the request is odd") }).await;
        spawn(Class::Scrape, async {
            blocking(|| panic!("the file is odd")).await;
        })
        .await;
        assert_eq!(blocking(|| 1 + 1).await, 2);
        assert_eq!(panic_count(), 2);
    })
    .unwrap();
    let heard = heard.0.lock().unwrap();
    assert!(heard[0].contains("request") && heard[0].contains("the request is odd"), "{heard:?}");
    assert!(heard[1].contains("scrape") && heard[1].contains("the file is odd"), "{heard:?}");
}

#[test]
fn a_dropped_task_is_cancelled_and_a_detached_one_goes_on() {
    run(|| async {
        let count = Rc::new(Cell::new(0));
        let add = |amount| {
            let count = count.clone();
            async move {
                sleep(Duration::from_millis(1)).await;
                count.set(count.get() + amount);
            }
        };
        drop(spawn(Class::Background, add(1)));
        spawn(Class::Background, add(10)).detach();
        spawn(Class::Background, add(100)).cancel().await;
        spawn(Class::Background, add(1000)).await;
        assert_eq!(count.get(), 1010);
    })
    .unwrap();
}

#[test]
fn a_timeout_takes_the_earlier() {
    run(|| async {
        let slow = timeout(Duration::from_millis(1), std::future::pending::<()>()).await;
        assert_eq!(slow, Err(Elapsed));
        let fast = timeout(Duration::MAX, async {
            park().await;
            7
        })
        .await;
        assert_eq!(fast, Ok(7));
    })
    .unwrap();
}

#[test]
fn files_are_read_off_the_shard() {
    run(|| async {
        let text = read_file(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).await.unwrap();
        assert!(text.starts_with(b"[package]"));
        assert!(read_file("/nowhere/at/all").await.is_err());
    })
    .unwrap();
}
