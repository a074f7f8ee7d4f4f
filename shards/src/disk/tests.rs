use std::fs;
use std::sync::Arc;

use engine::disk::{Disk, DiskErrorKind};
use futures_lite::future::poll_once;

use super::{BLOCK_BYTES, BlockBuffer, RingDisk};
use crate::observe::Silent;
use crate::runtime::run;
use crate::scratch::Scratch;

fn blocks(byte: u8, bytes: usize) -> BlockBuffer {
    let mut buffer = BlockBuffer::default();
    buffer.fill(&vec![byte; bytes]);
    buffer
}

fn open(scratch: &Scratch, direct: bool) -> RingDisk {
    RingDisk::open(scratch.path().join("a/b"), direct, Arc::new(Silent)).unwrap()
}

#[test]
fn writes_land_where_they_should() {
    run(|| async {
        for direct in [false, true] {
            let scratch = Scratch::new("disk");
            let disk = open(&scratch, direct);
            let file = disk.create("file", 100 * 8192).await.unwrap();
            let mut buffer = BlockBuffer::default();
            for round in 0..100u64 {
                buffer.fill(&[round as u8; 5000]);
                let written = match round % 2 {
                    0 => disk.write_durable(&file, round * 8192, buffer).await,
                    _ => disk.write_at(&file, round * 8192, buffer).await,
                };
                written.0.unwrap();
                buffer = written.1;
            }
            disk.sync(&file).await.unwrap();
            let bytes = disk.read("file").await.unwrap();
            assert_eq!(bytes.len(), 100 * 8192);
            for (round, chunk) in bytes.chunks(8192).enumerate() {
                assert!(chunk[..5000].iter().all(|&byte| byte == round as u8));
                assert!(chunk[5000..].iter().all(|&byte| byte == 0));
            }
        }
    })
    .unwrap();
}

#[test]
fn operations_begun_at_once_are_done_in_order() {
    run(|| async {
        let scratch = Scratch::new("disk");
        let disk = open(&scratch, true);
        let file = disk.create("file", BLOCK_BYTES as u64).await.unwrap();
        let writes = (1..=50).map(|byte| disk.write_at(&file, 0, blocks(byte, BLOCK_BYTES)));
        for (written, _) in futures_util::future::join_all(writes).await {
            written.unwrap();
        }
        assert_eq!(disk.read("file").await.unwrap(), [50; BLOCK_BYTES]);
    })
    .unwrap();
}

#[test]
fn a_write_does_not_wait_for_syncs() {
    run(|| async {
        let scratch = Scratch::new("disk");
        let disk = open(&scratch, true);
        let file = disk.create("file", BLOCK_BYTES as u64).await.unwrap();
        let _others = disk.syncs.hold().await;
        assert!(poll_once(Box::pin(disk.sync(&file))).await.is_none());
        disk.write_durable(&file, 0, blocks(1, BLOCK_BYTES)).await.0.unwrap();
        assert_eq!(disk.read("file").await.unwrap()[0], 1);
    })
    .unwrap();
}

#[test]
fn an_abandoned_write_is_finished_before_the_next_one_and_before_the_end() {
    let scratch = Arc::new(Scratch::new("disk"));
    let own = scratch.clone();
    run(move || async move {
        let scratch = own;
        let disk = open(&scratch, true);
        let file = disk.create("file", 2 * BLOCK_BYTES as u64).await.unwrap();
        let write = |byte, at| disk.write_durable(&file, at, blocks(byte, BLOCK_BYTES));
        assert!(poll_once(Box::pin(write(1, 0))).await.is_none());
        write(2, 4096).await.0.unwrap();
        assert_eq!(disk.read("file").await.unwrap()[0], 1);
        assert!(poll_once(Box::pin(write(3, 4096))).await.is_none());
    })
    .unwrap();
    assert_eq!(fs::read(scratch.path().join("a/b/file")).unwrap()[4096], 3);
}

#[test]
fn failures_name_operation_path_and_kind() {
    run(|| async {
        let scratch = Scratch::new("disk");
        let disk = open(&scratch, false);
        let missing = disk.open("missing").await.unwrap_err();
        assert_eq!((missing.operation, missing.kind), ("open", DiskErrorKind::NotFound));
        assert!(missing.path.ends_with("a/b/missing"), "{missing}");
        disk.create("file", 10).await.unwrap();
        let exists = disk.create("file", 10).await.unwrap_err();
        assert_eq!((exists.operation, exists.kind), ("create", DiskErrorKind::Io));
        disk.rename("file", "other").await.unwrap();
        assert_eq!(disk.list().await.unwrap(), ["other"]);
        disk.sync_dir().await.unwrap();
        disk.remove("other").await.unwrap();
        assert!(disk.list().await.unwrap().is_empty());

        let grown = disk.create_empty("grown").await.unwrap();
        for piece in [b"front ".to_vec(), b"to back".to_vec()] {
            disk.append(&grown, piece).await.0.unwrap();
        }
        disk.sync(&grown).await.unwrap();
        let mapped = disk.map("grown").await.unwrap();
        disk.remove("grown").await.unwrap();
        assert_eq!((*mapped).as_ref(), b"front to back");

        // Opened for reading only, behind the seam's back.
        let path = scratch.path().join("a/b/read-only");
        fs::write(&path, "x").unwrap();
        let file = super::RingFile {
            name: "read-only".into(),
            file: Arc::new(fs::File::open(&path).unwrap()),
        };
        let (refused, _) = disk.write_at(&file, 0, blocks(1, 10)).await;
        assert_eq!(refused.unwrap_err().kind, DiskErrorKind::Io);
    })
    .unwrap();
}
