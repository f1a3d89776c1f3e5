//! What changes, as it happens: server-sent events, which browsers take up again by themselves.
//!
//! `sweeps` has the list, `trials` what changed in the sweep that is looked at, `reset` says to load it
//! anew, `problem` what is wrong until something else comes. The id of an event is the mark of what
//! has been seen, which the browser says when it comes back.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde::Serialize;

use crate::board::Mark;
use crate::hub::Hub;
use crate::source::{Source, SourceError};
use crate::view::Listing;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// One browser, and what it knows.
struct Watcher<S> {
    hub: Arc<Hub<S>>,
    /// The sweep that it looks at.
    sweep: Option<String>,
    seen: Option<Mark>,
    listing: Option<Arc<Listing>>,
    problem: Option<String>,
    /// What it is still to be told.
    news: Vec<Event>,
    is_first: bool,
}

pub fn events<S: Source>(
    hub: Arc<Hub<S>>,
    sweep: Option<String>,
    seen: Option<Mark>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + Send> {
    let watcher = Watcher {
        hub,
        sweep,
        seen,
        listing: None,
        problem: None,
        news: Vec::new(),
        is_first: true,
    };
    let events = stream::unfold(watcher, |mut watcher| async {
        let event = watcher.next().await;
        Some((Ok(event), watcher))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

impl<S: Source> Watcher<S> {
    async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.news.pop() {
                return event;
            }
            if !self.is_first {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            self.is_first = false;
            match self.look().await {
                Ok(()) => self.relent(),
                Err(error) => self.complain(&error),
            }
            self.news.reverse();
        }
    }

    async fn look(&mut self) -> Result<(), SourceError> {
        let listing = self.hub.listing().await?;
        let is_known = self.listing.as_ref().is_some_and(|known| Arc::ptr_eq(known, &listing));
        if !is_known {
            self.news.extend(event("sweeps", &*listing));
            self.listing = Some(listing);
        }
        let Some(sweep) = &self.sweep else { return Ok(()) };
        let board = self.hub.board(sweep).await?;
        if self.seen == Some(board.mark()) {
            return Ok(());
        }
        let news = match self.seen.and_then(|seen| board.since(seen)) {
            Some(changes) => event("trials", &changes),
            None => event("reset", &board.mark()),
        };
        self.news.extend(news.map(|event| event.id(board.mark().to_string())));
        self.seen = Some(board.mark());
        Ok(())
    }

    /// The list is told again: that says that the problem is over.
    fn relent(&mut self) {
        if self.problem.take().is_some() {
            self.news.extend(self.listing.iter().filter_map(|listing| event("sweeps", &**listing)));
        }
    }

    /// Once, however long it lasts.
    fn complain(&mut self, error: &SourceError) {
        let message = error.to_string();
        if self.problem.as_ref() != Some(&message) {
            self.news.extend(event("problem", &Problem { error: &message }));
            self.problem = Some(message);
        }
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    error: &'a str,
}

/// None of what is told cannot be written as JSON.
fn event(kind: &str, data: &impl Serialize) -> Option<Event> {
    Event::default().event(kind).json_data(data).ok()
}
