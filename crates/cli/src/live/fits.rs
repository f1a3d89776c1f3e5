//! Fits for the live page: made again when their points change, and only then.

use std::collections::HashMap;
use std::sync::Arc;

use analysis::{Fit, Forecast};
use anyhow::Context;
use scheduler::Plan;
use serve::{FitAsked, FitView, ForecastView, LawView, ParamView, SourceError, Target};
use spec::SweepSpec;
use store::{Store, StoredSweep, SweepRecord, TrialResult};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::{failed, unavailable};
use crate::analyse::{self, Analysis, Outcome};

/// Places where a forecast is told, evenly along the logarithm of x.
const N_PLACES: usize = 121;
/// How far beyond the largest compute, where nobody asks for more.
const BEYOND: f64 = 100.0;

#[derive(Default)]
pub struct Fits {
    /// The plan of each sweep, and the file that it is of.
    plans: Mutex<HashMap<String, (String, Arc<Plan>)>>,
    /// Held while fitting: one fit has every core.
    found: Arc<Mutex<Memory>>,
}

/// What was found of a subject, and what identifies the points that it was found from.
type Memory = HashMap<Subject, (String, Arc<Found>)>;
/// A sweep, a metric and a variant.
type Subject = (String, String, Option<String>);

/// What was found of one set of points.
struct Found {
    frontier: Vec<(f64, f64)>,
    forecast: Option<Forecast>,
    fits: Vec<Fit>,
    notes: Vec<String>,
}

impl Fits {
    pub async fn of(
        &self,
        store: &Store,
        sweep: &StoredSweep,
        asked: FitAsked,
    ) -> Result<FitView, SourceError> {
        let name = &sweep.record.name;
        let results = store.trial_results(name).await.map_err(failed)?;
        let outcome = Outcome::read(store, name, &asked.y).await.map_err(refused)?;
        refuse_unknown_variant(&results, asked.variant.as_deref())?;
        let plan = self.plan(sweep).await?;
        let analysis = Analysis::new(&results, &plan, &outcome);
        let analysis = match &asked.variant {
            Some(variant) => analysis.of_variant(Some(variant)),
            None => analysis,
        };
        let found = self.found((name.clone(), asked.y, asked.variant), analysis).await?;
        Ok(view(&found, asked.target))
    }

    async fn plan(&self, sweep: &StoredSweep) -> Result<Arc<Plan>, SourceError> {
        let (name, source) = (&sweep.record.name, &sweep.record.source);
        let mut plans = self.plans.lock().await;
        if let Some((_, plan)) = plans.get(name).filter(|(of, _)| of == source) {
            return Ok(Arc::clone(plan));
        }
        let record = sweep.record.clone();
        let plan = blocking(move || plan_of(&record)).await?.map_err(unavailable)?;
        plans.insert(name.clone(), (source.clone(), Arc::clone(&plan)));
        Ok(plan)
    }

    async fn found(&self, key: Subject, analysis: Analysis) -> Result<Arc<Found>, SourceError> {
        let inputs = analysis.inputs_hash(&analyse::options());
        let mut all = Arc::clone(&self.found).lock_owned().await;
        if let Some((_, found)) = all.get(&key).filter(|(of, _)| *of == inputs) {
            return Ok(Arc::clone(found));
        }
        // The lock goes along: who asks and goes away does not leave a fit behind that runs beside others.
        blocking(move || {
            let found = Arc::new(Found::of(&analysis));
            all.insert(key, (inputs, Arc::clone(&found)));
            found
        })
        .await
    }
}

/// Computing does not hold up answers.
async fn blocking<T: Send + 'static>(
    compute: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SourceError> {
    spawn_blocking(compute).await.map_err(|_| unavailable("the fit ended without an answer"))
}

/// Of what was imported, empty: nothing is trained.
fn plan_of(record: &SweepRecord) -> anyhow::Result<Arc<Plan>> {
    if record.is_import() {
        return Ok(Arc::new(Plan::new(&[], &[])));
    }
    let sweep = SweepSpec::parse("stored sweep", &record.source, &[])
        .context("the store's own sweep file")?;
    Ok(Arc::new(Plan::new(&sweep.trials, &[])))
}

/// What is found is kept by its variant, which is of the sweep's few and not whatever an address says.
fn refuse_unknown_variant(
    results: &[TrialResult],
    variant: Option<&str>,
) -> Result<(), SourceError> {
    match variant {
        Some(name) if !results.iter().any(|result| result.variant.as_deref() == variant) => {
            Err(SourceError::Refused(format!("the sweep has no variant `{name}`")))
        }
        Some(_) | None => Ok(()),
    }
}

fn refused(error: anyhow::Error) -> SourceError {
    SourceError::Refused(format!("{error:#}"))
}

impl Found {
    fn of(analysis: &Analysis) -> Self {
        Self {
            frontier: analysis.frontier().iter().map(|point| (point.x, point.y)).collect(),
            forecast: analysis.forecast(),
            fits: analysis.fits(),
            notes: analysis.notes.clone(),
        }
    }
}

fn view(found: &Found, target: Option<f64>) -> FitView {
    let forecast = found.forecast.as_ref();
    let told = forecast.zip(ends(found, target)).map(|(forecast, ends)| drawn(forecast, ends));
    let doubts = forecast.iter().flat_map(|forecast| &forecast.warnings);
    FitView {
        n_points: found.frontier.len(),
        frontier: found.frontier.clone(),
        too_few: told.is_none().then(|| {
            "A forecast needs points at four different amounts of compute on the frontier; it comes when they are there.".to_owned()
        }),
        forecast: told,
        level: forecast.map_or(0.95, |forecast| forecast.level),
        laws: found.fits.iter().map(law).collect(),
        notes: found.notes.iter().cloned().chain(doubts.map(|warning| warning.message.clone())).collect(),
        target: forecast.zip(target).map(|(forecast, x)| at(forecast, x)),
    }
}

/// From the smallest compute on, as far as is asked for or [`BEYOND`] the largest.
fn ends(found: &Found, target: Option<f64>) -> Option<(f64, f64)> {
    let (first, last) = (found.frontier.first()?.0, found.frontier.last()?.0);
    Some((first.min(target.unwrap_or(first)), (BEYOND * last).max(target.unwrap_or(last))))
}

fn drawn(forecast: &Forecast, (low, high): (f64, f64)) -> ForecastView {
    let mut told = ForecastView::default();
    for i in 0..N_PLACES {
        let share = i as f64 / (N_PLACES - 1) as f64;
        let Target { x, y, low, high } = at(forecast, low * (high / low).powf(share));
        told.x.push(x);
        told.y.push(y);
        told.low.push(low);
        told.high.push(high);
    }
    told
}

fn at(forecast: &Forecast, x: f64) -> Target {
    let said = forecast.predict(x);
    Target { x, y: said.value, low: said.low, high: said.high }
}

fn law(fit: &Fit) -> LawView {
    let params = fit.params.iter().map(|param| ParamView {
        name: param.name.to_owned(),
        value: param.value,
        low: param.interval.map(|(low, _)| low),
        high: param.interval.map(|(_, high)| high),
    });
    LawView {
        law: fit.law.name().to_owned(),
        formula: fit.law.formula().to_owned(),
        params: params.collect(),
        holdout: fit.holdout.as_ref().map(|held| held.rmse_log),
        warnings: fit.warnings.iter().map(|warning| warning.message.clone()).collect(),
    }
}
