//! What is answered where.

use std::io;
use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use spec::{SegmentId, TrialId};
use tokio::net::TcpListener;

use crate::asset;
use crate::board::Mark;
use crate::guard::{Guard, guard};
use crate::hub::Hub;
use crate::source::{Source, SourceError};
use crate::stream;
use crate::view::{FitAsked, FitView, TrialView};

/// Nobody has a compute beyond this; what is larger would overflow on the way to a figure.
const LARGEST_TARGET: f64 = 1e60;
/// A name in an address that is longer is no name.
const LONGEST_NAME: usize = 512;

type Shared<S> = State<Arc<Hub<S>>>;

/// Answers until it is dropped.
///
/// # Errors
/// The listener's.
pub async fn serve<S: Source>(listener: TcpListener, source: S, guard: Guard) -> io::Result<()> {
    axum::serve(listener, router(source, guard)).await
}

pub fn router<S: Source>(source: S, permits: Guard) -> Router {
    let hub = Arc::new(Hub::new(source));
    Router::new()
        .route("/", get(async |headers: HeaderMap| asset::answer("index.html", &headers)))
        .route(
            "/assets/{name}",
            get(async |Path(name): Path<String>, headers: HeaderMap| {
                asset::answer(&name, &headers)
            }),
        )
        .route("/api/sweeps", get(sweeps::<S>))
        .route("/api/sweeps/{sweep}", get(sweep::<S>))
        .route("/api/sweeps/{sweep}/fit", get(fit::<S>))
        .route("/api/trials/{trial}", get(trial::<S>))
        .route("/api/trials/{trial}/logs/{segment}/{attempt}", get(log::<S>))
        .route("/api/events", get(events::<S>))
        .fallback(async || refusal(StatusCode::NOT_FOUND, "there is nothing here".to_owned()))
        .with_state(hub)
        .layer(middleware::from_fn(plain_refusals))
        .layer(middleware::from_fn_with_state(Arc::new(permits), guard))
}

async fn sweeps<S: Source>(State(hub): Shared<S>) -> Result<Response, SourceError> {
    Ok(Json(&*hub.listing().await?).into_response())
}

async fn sweep<S: Source>(
    State(hub): Shared<S>,
    Path(sweep): Path<String>,
) -> Result<Response, SourceError> {
    let board = hub.board(name(&sweep)?).await?;
    Ok(Json(board.whole()).into_response())
}

#[derive(Deserialize)]
struct FitQuery {
    y: String,
    variant: Option<String>,
    target: Option<String>,
}

async fn fit<S: Source>(
    State(hub): Shared<S>,
    Path(sweep): Path<String>,
    Query(query): Query<FitQuery>,
) -> Result<Json<FitView>, SourceError> {
    let FitQuery { y, variant, target } = query;
    name(&y)?;
    let target =
        target.filter(|text| !text.trim().is_empty()).map(|text| flops(&text)).transpose()?;
    Ok(Json(hub.source.fit(name(&sweep)?, FitAsked { y, variant, target }).await?))
}

fn flops(text: &str) -> Result<f64, SourceError> {
    let value: Option<f64> = text.trim().parse().ok();
    let usable = value.filter(|value| *value > 0.0 && *value <= LARGEST_TARGET);
    usable.ok_or_else(|| {
        SourceError::Refused("training FLOPs are a positive number, as 1e18".to_owned())
    })
}

async fn trial<S: Source>(
    State(hub): Shared<S>,
    Path(trial): Path<String>,
) -> Result<Json<TrialView>, SourceError> {
    Ok(Json(hub.source.trial(trial_id(&trial)?).await?))
}

async fn log<S: Source>(
    State(hub): Shared<S>,
    Path((trial, segment, attempt)): Path<(String, String, u32)>,
) -> Result<Response, SourceError> {
    let segment: SegmentId = segment.parse().map_err(|_| unknown("no such segment"))?;
    let text = hub.source.log(trial_id(&trial)?, segment, attempt).await?;
    // Text, whatever a trainer has written.
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

#[derive(Deserialize)]
struct EventsQuery {
    sweep: Option<String>,
    since: Option<String>,
}

async fn events<S: Source>(
    State(hub): Shared<S>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, SourceError> {
    let sweep = query.sweep.map(|sweep| name(&sweep).map(str::to_owned)).transpose()?;
    // Who comes back says what it has seen since it first came.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let seen: Option<Mark> = last.or(query.since).and_then(|mark| mark.parse().ok());
    Ok(stream::events(hub, sweep, seen).into_response())
}

fn name(name: &str) -> Result<&str, SourceError> {
    if name.len() > LONGEST_NAME { Err(unknown("no such name: it is too long")) } else { Ok(name) }
}

fn trial_id(text: &str) -> Result<TrialId, SourceError> {
    text.parse().map_err(|_| unknown("no such trial: an id is 32 hexadecimal digits"))
}

fn unknown(message: &str) -> SourceError {
    SourceError::Unknown(message.to_owned())
}

#[derive(Serialize)]
struct Refused {
    error: String,
}

fn refusal(status: StatusCode, error: String) -> Response {
    (status, Json(Refused { error })).into_response()
}

impl IntoResponse for SourceError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Refused(_) => StatusCode::BAD_REQUEST,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        refusal(status, self.to_string())
    }
}

/// The framework's own refusals of an address, which speak of its types, in our words.
async fn plain_refusals(uri: Uri, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let is_json =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if response.status() == StatusCode::BAD_REQUEST && !is_json {
        return refusal(
            StatusCode::BAD_REQUEST,
            format!("`{}` is not an address of this server", uri.path()),
        );
    }
    response
}
