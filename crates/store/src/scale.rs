//! What the store holds up to, printed rather than asserted, since a busy machine is no mistake:
//! `cargo test --release -p store scale -- --nocapture --test-threads 1`.

use std::time::Instant;

use crate::testing::{Plan, empty_store, on_cpu, progress, sweep, two_trials};
use crate::{Report, Store};

const TRIALS: u64 = 10_000;

#[tokio::test]
async fn ten_thousand_trials_are_saved_and_read() {
    let test = empty_store().await;
    let plans: Vec<_> = (0..TRIALS / 2).map(two_trials).collect();
    let trials: Vec<_> = plans.iter().flat_map(Plan::trials).collect();
    let segments: Vec<_> = plans.iter().flat_map(Plan::segments).collect();
    let sweep = sweep("large");
    for what in ["saved", "saved again"] {
        let start = Instant::now();
        test.store.save_sweep(&sweep, &trials, &segments, 1.0).await.unwrap();
        println!("{TRIALS} trials, {} segments {what}: {:?}", segments.len(), start.elapsed());
    }
    finish_everything(&test.store).await;
    for what in ["warm", "warm again"] {
        let start = Instant::now();
        let results = test.store.trial_results("large").await.unwrap();
        println!("{TRIALS} trial_result rows read, {what}: {:?}", start.elapsed());
        assert_eq!(results.len(), trials.len());
        assert!(results.iter().all(|row| row.val_loss.is_some() && row.device_s.is_some()));
    }
    test.store.close().await;
    let store = Store::open_read_only(&test.path).await.unwrap();
    let start = Instant::now();
    store.trial_results("large").await.unwrap();
    println!("{TRIALS} trial_result rows read, new connection: {:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(store.evaluations("large", "val_error").await.unwrap().len(), trials.len());
    println!("{TRIALS} values of one metric read from evaluation: {:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(store.metrics("large").await.unwrap(), ["val_error", "val_loss"]);
    println!("metrics of {TRIALS} trials listed: {:?}", start.elapsed());
    let start = Instant::now();
    store.segment_states("large").await.unwrap();
    println!("{} segment states read: {:?}", segments.len(), start.elapsed());
    let start = Instant::now();
    store.spent("large").await.unwrap();
    println!("spent: {:?}", start.elapsed());
}

/// One finished attempt for each segment, without going through 20,000 transactions.
async fn finish_everything(store: &Store) {
    let attempts =
        "insert into attempt (segment_id, attempt, outcome, device, device_name, threads,
                                         pid, started_at, ended_at, steps, train_flops, device_s)
         select segment_id, 1, 'finished', 'cpu', '', 1, 1, 1, 2, 20, train_flops, 1.5 from segment;
         insert into measurement
         select segment_id, metric.value, end_step, 0.5
         from segment, json_each('[\"val_loss\", \"val_error\"]') as metric;
         update segment set state = 'finished', attempt = 1, chain_device_s = 1.5;";
    sqlx::raw_sql(attempts).execute(&store.pool).await.unwrap();
}

#[tokio::test]
async fn measurements_are_stored() {
    let test = empty_store().await;
    let plan = two_trials(0);
    test.save_trials("one", &plan, ..).await;
    let segment_id = plan.id(0);
    let attempt = test.store.begin_attempt(segment_id, &on_cpu(), 1.0).await.unwrap();
    let reports: Vec<_> = (0..50_000)
        .map(|step| Report { segment_id, attempt, event: progress(step, 1.0) })
        .collect();
    for batch in [1000, 64, 8, 1] {
        let reports = &reports[..if batch == 1 { 2000 } else { 50_000 }];
        let start = Instant::now();
        for batch in reports.chunks(batch) {
            test.store.record_batch(batch, 1.0).await.unwrap();
        }
        let (n_rows, seconds) = (4 * reports.len(), start.elapsed().as_secs_f64());
        println!(
            "{n_rows} measurements, {batch} events a batch: {:.0} rows/s",
            n_rows as f64 / seconds
        );
    }
}

#[tokio::test]
async fn attempts_begin_and_end() {
    let test = empty_store().await;
    let plans: Vec<_> = (0..250).map(two_trials).collect();
    for (n, plan) in plans.iter().enumerate() {
        test.save_trials(&n.to_string(), plan, ..).await;
    }
    let start = Instant::now();
    for segment in plans.iter().flat_map(|plan| &plan.segments) {
        test.finish(segment, 1.0, 1.0).await;
    }
    println!(
        "segments begun, evaluated and finished, 4 transactions each: {:.0} a second",
        1000.0 / start.elapsed().as_secs_f64()
    );
}
