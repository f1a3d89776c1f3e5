//! What the outside says: orders, one a line, and that it is time to stop.

use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use spec::{LineError, Order, Spent, TrainerEvent};

/// What is asked of the attempt that is being executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// To go on later, as the same attempt.
    Pause,
    End,
}

/// Whether to write a checkpoint and stop; looked at after every step.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicU8>);

const PAUSE: u8 = 1;
const END: u8 = 2;

impl Stop {
    pub(crate) fn request(&self) {
        self.0.store(END, Ordering::Relaxed);
    }

    /// Asks for a pause, unless the end is asked for.
    pub(crate) fn request_pause(&self) {
        self.0.fetch_max(PAUSE, Ordering::Relaxed);
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.requested().is_some()
    }

    pub(crate) fn requested(&self) -> Option<Request> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            PAUSE => Some(Request::Pause),
            _ => Some(Request::End),
        }
    }

    /// What an attempt says that stops at `step`.
    pub(crate) fn event(&self, step: u64, spent: Spent) -> TrainerEvent {
        match self.requested() {
            Some(Request::Pause) => TrainerEvent::Paused { step, spent },
            Some(Request::End) | None => TrainerEvent::Interrupted { step, spent },
        }
    }
}

/// One thing that came in.
#[derive(Debug)]
pub(crate) enum Input {
    Order(Box<Order>),
    Bad(LineError),
    /// Standard input is closed, or TERM came.
    End,
}

/// What comes in, for [`crate::serve()`].
#[derive(Debug)]
pub struct Inputs {
    pub(crate) stop: Stop,
    pub(crate) received: Receiver<Input>,
}

/// Starts listening to standard input and to TERM. INT is ignored: Ctrl-C reaches every process of a
/// terminal, and it is the coordinator that closes our input.
///
/// # Errors
/// Signals that cannot be had.
pub fn listen() -> io::Result<Inputs> {
    let stop = Stop::default();
    let (sender, received) = channel();
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (on_signal, on_line) = ((stop.clone(), sender.clone()), (stop.clone(), sender));
    thread::spawn(move || {
        if signals.forever().any(|signal| signal == SIGTERM) {
            end(&on_signal.0, &on_signal.1);
        }
    });
    thread::spawn(move || {
        read_orders(&on_line.1);
        end(&on_line.0, &on_line.1);
    });
    Ok(Inputs { stop, received })
}

/// Starts listening to the signals of a queue: USR1 asks for a pause, TERM and INT for the end.
///
/// # Errors
/// Signals that cannot be had.
pub fn listen_to_queue() -> io::Result<Stop> {
    let stop = Stop::default();
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGUSR1])?;
    let on_signal = stop.clone();
    thread::spawn(move || {
        for signal in signals.forever() {
            if signal == SIGUSR1 { on_signal.request_pause() } else { on_signal.request() }
        }
    });
    Ok(stop)
}

/// Until the end of input, or the first line that is no order.
fn read_orders(sender: &Sender<Input>) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        if line.trim().is_empty() {
            continue;
        }
        let order = Order::parse(&line);
        let is_bad = order.is_err();
        let input = order.map_or_else(Input::Bad, |order| Input::Order(Box::new(order)));
        if sender.send(input).is_err() || is_bad {
            return;
        }
    }
}

fn end(stop: &Stop, sender: &Sender<Input>) {
    stop.request();
    // Nobody listens any more: the process is ending already.
    let _ = sender.send(Input::End);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_overrides_a_pause_and_not_the_other_way_round() {
        let stop = Stop::default();
        assert_eq!(stop.requested(), None);
        stop.request_pause();
        assert_eq!(stop.requested(), Some(Request::Pause));
        stop.request();
        stop.request_pause();
        assert_eq!(stop.requested(), Some(Request::End));
    }
}
