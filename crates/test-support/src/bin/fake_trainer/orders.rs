//! Where orders come from.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use spec::{Order, PAUSED_EXIT_CODE, TrainerEvent, TrainerLine};

use crate::attempt::follow;
use crate::say_ready;
use crate::stop::Stop;

/// One order a line, until the input ends or TERM comes.
pub fn of_standard_input() -> io::Result<ExitCode> {
    let stop = Stop::listen(false)?;
    say_ready()?;
    let (sender, received) = channel();
    let closed = stop.closed.clone();
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            if sender.send(line.and_then(|line| parsed(&line))).is_err() {
                return;
            }
        }
        closed.store(true, Ordering::Relaxed);
    });
    while !stop.is_term() {
        match received.recv_timeout(Duration::from_millis(20)) {
            Ok(order) => drop(follow(&order?, &stop)?),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The lines of a file, without those that have ended before.
pub fn of_file(path: &Path) -> io::Result<ExitCode> {
    let stop = Stop::listen(true)?;
    let text = fs::read_to_string(path)?;
    let orders = text.lines().map(parsed).collect::<io::Result<Vec<_>>>()?;
    say_ready()?;
    let (mut is_finished, mut is_done) = (HashMap::new(), true);
    for order in orders {
        let parent = order.segment.parent.and_then(|parent| is_finished.get(&parent));
        if parent == Some(&false) {
            is_finished.insert(order.segment_id, false);
            continue;
        }
        let last = match last_event(&order) {
            Some(last) => last,
            None if stop.is_term() => return Ok(ExitCode::FAILURE),
            None if stop.is_pause() => return Ok(PAUSED_EXIT_CODE.into()),
            None => follow(&order, &stop)?,
        };
        is_finished.insert(order.segment_id, matches!(last, TrainerEvent::Finished { .. }));
        if matches!(last, TrainerEvent::Paused { .. }) {
            return Ok(PAUSED_EXIT_CODE.into());
        }
        is_done &= matches!(last, TrainerEvent::Finished { .. } | TrainerEvent::Diverged { .. });
    }
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parsed(line: &str) -> io::Result<Order> {
    Order::parse(line).map_err(io::Error::other)
}

fn last_event(order: &Order) -> Option<TrainerEvent> {
    let text = fs::read_to_string(order.attempt_dir.join("exit.json")).ok()?;
    match TrainerLine::parse(&text).ok()? {
        TrainerLine::Event { event, .. } => Some(event),
        TrainerLine::Ready(_) => None,
    }
}
