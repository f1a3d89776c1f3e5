//! What the store holds up to, printed rather than asserted, since a busy machine is no mistake:
//! `cargo test --release -p store scale -- --nocapture --test-threads 1`.

use std::time::Instant;

use spec::{SegmentId, SegmentSpec, TrainerEvent};

use crate::testing::{Plan, empty_store, evaluated, finished, on_cpu, progress, sweep, two_trials};
use crate::{PlannedTrial, Report, Store, TrialResult};

#[tokio::test]
async fn ten_thousand_trials_are_saved_and_read() {
    measure(10_000).await;
}

/// Saves and reads a sweep of trials, two for a trunk, every second trunk with all that hangs on it
/// finished.
async fn measure(n_trials: u64) {
    let test = empty_store().await;
    let plans: Vec<_> = (0..n_trials / 2).map(two_trials).collect();
    let trials: Vec<_> = plans.iter().flat_map(Plan::trials).collect();
    let segments: Vec<_> = plans.iter().flat_map(Plan::segments).collect();
    let sweep = sweep("large");
    println!("{n_trials} trials, {} segments", segments.len());
    let before = memory_mib("VmRSS");
    for what in ["saved", "saved again"] {
        let save = test.store.save_sweep(&sweep, &trials, &segments, 1.0);
        time(what, save).await;
    }
    println!("  {} MiB more than the plan itself at the most", memory_mib("VmHWM") - before);
    let predicted: Vec<_> = segments.iter().map(|segment| (segment.id, 1.0)).collect();
    time("predictions saved", test.store.predict(&predicted)).await;
    finish_half(&test.store).await;
    test.store.close().await;
    for what in ["cold", "warm"] {
        println!("{what}:");
        let store = Store::open_read_only(&test.path).await.unwrap();
        read_everything(&store, &trials).await;
    }
    let size = std::fs::metadata(&test.path).unwrap().len();
    println!("{} bytes a trial in the file", size / n_trials);
}

async fn read_everything(store: &Store, trials: &[PlannedTrial<'_>]) {
    time("sweeps", store.sweeps()).await;
    let counts = time("trials counted", store.trial_counts("large")).await;
    assert_eq!(counts.finished + counts.pending, trials.len() as u64);
    time("trials counted by shape", store.shape_counts("large")).await;
    time("what has been spent", store.spent("large")).await;
    time("evaluations counted", store.evaluation_counts("large")).await;
    time("segment states", store.segment_states("large")).await;
    let results = time("trial_result", store.trial_results("large")).await;
    assert_eq!(results.len(), trials.len());
    let has_ended = |row: &&TrialResult| row.val_loss.is_some() && row.device_s.is_some();
    assert!(results.iter().filter(has_ended).count() > trials.len() / 3);
    time("one metric of evaluation", store.evaluations("large", "val_error")).await;
    time("metrics listed", store.metrics("large")).await;
    time("micro-batches", store.micro_batches("large")).await;
    time("measured costs", store.measured_costs("", 1)).await;
    time("attempts of a trial", store.attempts_of(trials[0].id)).await;
}

async fn time<T, E: std::fmt::Debug>(what: &str, doing: impl Future<Output = Result<T, E>>) -> T {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let done = doing.await.unwrap();
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!("  {what}: {wall:.3} s, {cpu:.2} s of CPU");
    done
}

fn memory_mib(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0_u64) / 1024
}

/// Of this process, user's and system's: what a busy machine changes least.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// One finished attempt for each segment of every second trunk, without going through as many
/// transactions. Their parents are known to be at most two generations up.
async fn finish_half(store: &Store) {
    let attempts = "
        create temp table done as
        with recursive forest (segment_id) as (
            select segment_id from segment where parent_id is null and unicode(segment_id) % 2 = 0
            union all
            select segment.segment_id from segment join forest on parent_id = forest.segment_id
        )
        select segment_id from forest;
        insert into attempt (segment_id, attempt, outcome, device, device_name, threads, pid,
                             started_at, ended_at, steps, train_flops, device_s, charged_s)
        select segment_id, 1, 'finished', 'cpu', '', 1, 1, 1, 2, 20, train_flops, 1.5, 1.5
        from done join segment using (segment_id);
        insert into measurement
        select segment_id, metric.value, end_step, 0.5
        from done join segment using (segment_id),
             json_each('[\"val_loss\", \"val_error\"]') as metric;
        update segment set state = 'finished', attempt = 1, chain_device_s = 1.5
        where segment_id in (select segment_id from done);";
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
    let plans: Vec<_> = (0..1000).map(two_trials).collect();
    for (n, plan) in plans.iter().enumerate() {
        test.save_trials(&n.to_string(), plan, ..).await;
    }
    let segments = plans.iter().flat_map(|plan| &plan.segments);
    let segments: Vec<_> = segments.map(|segment| (segment.id(), segment)).collect();
    for (at_once, segments) in [1, 4, 16].into_iter().zip(segments.chunks(1000)) {
        let (start, cpu) = (Instant::now(), cpu_seconds());
        for segments in segments.chunks(at_once) {
            begin_and_finish(&test.store, segments).await;
        }
        let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        println!(
            "segments begun, evaluated and finished, {at_once} in 2 transactions: {:.0} a second, {:.0} in a second of CPU",
            1000.0 / wall,
            1000.0 / cpu
        );
    }
}

/// All of what some segments' attempts say, in one transaction after that which begins them.
async fn begin_and_finish(store: &Store, segments: &[(SegmentId, &SegmentSpec)]) {
    let new: Vec<_> = segments.iter().map(|(id, _)| (*id, on_cpu())).collect();
    let fences = store.begin_attempts(&new, 1.0).await.unwrap();
    let reports = segments.iter().zip(fences).flat_map(|((segment_id, segment), attempt)| {
        let events = [
            TrainerEvent::Started { step: segment.start },
            evaluated(segment.end, 1.0),
            finished(segment.end, segment.steps(), 1.0),
        ];
        events.map(|event| Report { segment_id: *segment_id, attempt, event })
    });
    let accepted = store.record_batch(&reports.collect::<Vec<_>>(), 2.0).await.unwrap();
    assert!(accepted.into_iter().all(|accepted| accepted));
}
