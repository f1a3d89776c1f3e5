//! What the outside says: orders, one a line, and that it is time to stop.

use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use spec::{LineError, Order};

/// Whether to write a checkpoint and stop; looked at after every step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
