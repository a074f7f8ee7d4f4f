use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_util::future::join_all;

use super::{Gone, Lane, Refused};
use crate::route::ShardId;
use crate::runtime::{Class, Placement, park, spawn, start};

/// Runs `main` on one executor per end.
fn on_shards<Q, A, F>(
    ends: Vec<Lane<Q, A>>,
    main: impl Fn(Rc<Lane<Q, A>>, ShardId) -> F + Clone + Send + 'static,
) where
    Q: Send + 'static,
    A: Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let threads: Vec<_> = ShardId::all(ends.len())
        .zip(ends)
        .map(|(shard, lane)| {
            let main = main.clone();
            start("mesh".into(), Placement::Unpinned, move || main(Rc::new(lane), shard)).unwrap()
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn requests_of_a_pair_are_served_in_order_and_within_the_credits() {
    const SHARDS: usize = 3;
    const CREDITS: usize = 4;
    const REQUESTS: usize = 500;
    let under_way = Arc::new(AtomicUsize::new(0));
    let served = Arc::new(Mutex::new(vec![vec![Vec::new(); SHARDS]; SHARDS]));
    let (all_served, finished) = (served.clone(), Arc::new(AtomicUsize::new(0)));
    on_shards(Lane::<usize, usize>::ends(SHARDS, CREDITS), move |lane, shard| {
        let (under_way, served, finished) = (under_way.clone(), served.clone(), finished.clone());
        async move {
            let server = lane.clone();
            let serving = spawn(Class::Storage, async move {
                while let Some(request) = server.next().await {
                    let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(now <= SHARDS * SHARDS * CREDITS);
                    served.lock().unwrap()[shard.index()][request.from.index()]
                        .push(request.question);
                    if request.question.is_multiple_of(7) {
                        park().await;
                    }
                    under_way.fetch_sub(1, Ordering::SeqCst);
                    request.answer.send(request.question * 2);
                }
            });
            // All requests to all shards at once: far more than there are credits.
            let asking = ShardId::all(SHARDS).flat_map(|target| {
                let lane = &lane;
                (0..REQUESTS).map(move |number| async move {
                    assert_eq!(lane.ask(target, number).await, Ok(number * 2));
                })
            });
            join_all(asking).await;
            finished.fetch_add(1, Ordering::SeqCst);
            while finished.load(Ordering::SeqCst) < SHARDS {
                park().await;
            }
            lane.close();
            serving.await;
        }
    });
    let expected: Vec<usize> = (0..REQUESTS).collect();
    for from_all in all_served.lock().unwrap().iter() {
        from_all.iter().for_each(|from_one| assert_eq!(*from_one, expected));
    }
}

#[test]
fn an_asker_that_leaves_keeps_the_credit_out_until_its_request_is_served() {
    on_shards(Lane::<u32, u32>::ends(1, 1), |lane, shard| async move {
        let asked = lane.try_ask(shard, 1).unwrap();
        drop(asked);
        let Err(Refused::NoCredit(2)) = lane.try_ask(shard, 2) else { panic!("no credit is left") };
        lane.next().await.unwrap().answer.send(0);
        let asked = lane.try_ask(shard, 3).unwrap();
        // Ended without an answer.
        drop(lane.next().await.unwrap());
        assert_eq!(asked.await, Err(Gone));
        lane.close();
        assert_eq!(lane.ask(shard, 4).await, Err(Gone));
        assert!(lane.next().await.is_none());
    });
}

/// Prints the figure of the README; the bound is what a loaded machine must still reach.
#[test]
fn a_round_trip_takes_well_under_a_millisecond() {
    const ROUNDS: usize = 2000;
    on_shards(Lane::<(), ()>::ends(2, 8), |lane, shard| async move {
        if shard == ShardId(1) {
            for _ in 0..ROUNDS {
                lane.next().await.unwrap().answer.send(());
            }
            return;
        }
        let mut nanoseconds: Vec<u128> = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            lane.ask(ShardId(1), ()).await.unwrap();
            nanoseconds.push(start.elapsed().as_nanos());
        }
        nanoseconds.sort_unstable();
        let (p50, p99) = (nanoseconds[ROUNDS / 2] / 1000, nanoseconds[ROUNDS / 100 * 99] / 1000);
        eprintln!("round trip between two shards: p50 {p50} us, p99 {p99} us");
        assert!(p50 < 2_000);
    });
}
