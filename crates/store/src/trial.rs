//! Tables `trial`, `sweep_trial` and `trial_segment`: the points of a sweep and the chain of segments
//! that makes each of them, with those that evaluate it on other tasks.

use spec::{Id, SegmentId, TrialId, TrialSpec};
use sqlx::{AssertSqlSafe, QueryBuilder, SqliteConnection};

use crate::convert::signed;
use crate::error::{Result, StoreError};

/// A trial to be saved, and its segments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlannedTrial<'a> {
    pub id: TrialId,
    pub spec: &'a TrialSpec,
    /// Those that it consists of, from initialisation to its leaf.
    pub chain: &'a [SegmentId],
    /// Those that evaluate it on other tasks.
    pub evaluations: &'a [SegmentId],
    /// Its variant, in a sweep that has variants.
    pub variant: Option<&'a str>,
}

/// Rows per insert: enough that the call costs little beside the rows, and 14 columns stay far
/// below SQLite's 32766 parameters.
const ROWS: usize = 200;

/// Hash of all that a sweep's membership is made of.
pub(crate) fn hash(trials: &[PlannedTrial<'_>]) -> Id {
    trials.iter().fold(Id::of_canonical(""), |before, trial| {
        let PlannedTrial { id, spec: _, chain, evaluations, variant } = trial;
        Id::of_canonical(&format!("{before} {id} {chain:?} {evaluations:?} {variant:?}"))
    })
}

struct TrialRow {
    trial_id: String,
    family: &'static str,
    shape: String,
    params: i64,
    unique_examples: i64,
    examples_seen: i64,
    steps: i64,
    train_flops: f64,
    learning_rate: f64,
    seed: i64,
    recipe_id: String,
    cooldown: i64,
}

/// One trial of a sweep: its own columns, its place, and its segments.
struct Member<'a> {
    trial: TrialRow,
    position: i64,
    leaf: String,
    variant: Option<&'a str>,
    /// The chain, then the evaluations.
    segments: Vec<String>,
}

/// Makes `trials` the sweep's trials, in this order. They are written in the order of their ids, which
/// is that of the tables.
pub(crate) async fn replace_members(
    conn: &mut SqliteConnection,
    sweep: &str,
    trials: &[PlannedTrial<'_>],
    recipes: &[Id],
) -> Result<()> {
    remove_members(conn, sweep).await?;
    let mut sorted: Vec<_> = trials.iter().zip(recipes).zip(0..).collect();
    sorted.sort_unstable_by_key(|((trial, _), _)| trial.id);
    for trials in sorted.chunks(ROWS) {
        let members: Vec<_> = trials
            .iter()
            .map(|((trial, recipe), position)| Member::of(trial, **recipe, *position))
            .collect::<Result<_>>()?;
        insert_trials(conn, &members).await?;
        insert_members(conn, sweep, &members).await?;
        insert_segments(conn, sweep, &members).await?;
    }
    Ok(())
}

/// Trials and segments stay: other sweeps may have them.
pub(crate) async fn remove_members(conn: &mut SqliteConnection, sweep: &str) -> Result<()> {
    for table in ["trial_segment", "sweep_trial"] {
        let delete = format!("delete from {table} where sweep = ?1");
        sqlx::query(AssertSqlSafe(delete)).bind(sweep).execute(&mut *conn).await?;
    }
    Ok(())
}

impl<'a> Member<'a> {
    fn of(planned: &PlannedTrial<'a>, recipe: Id, position: u64) -> Result<Self> {
        let trial = TrialRow::of(planned, recipe)?;
        let leaf = planned.chain.last().ok_or(StoreError::EmptyChain(planned.id))?;
        Ok(Self {
            trial,
            position: signed("position", position)?,
            leaf: leaf.to_string(),
            variant: planned.variant,
            segments: planned
                .chain
                .iter()
                .chain(planned.evaluations)
                .map(SegmentId::to_string)
                .collect(),
        })
    }
}

impl TrialRow {
    fn of(planned: &PlannedTrial<'_>, recipe_id: Id) -> Result<Self> {
        let (trial, recipe) = (planned.spec, &planned.spec.recipe);
        Ok(Self {
            trial_id: planned.id.to_string(),
            family: recipe.model.family(),
            shape: recipe.model.shape_name().to_owned(),
            params: signed("params", recipe.model.params())?,
            unique_examples: signed("unique_examples", recipe.unique_examples)?,
            examples_seen: signed("examples_seen", trial.examples_seen())?,
            steps: signed("steps", trial.steps)?,
            train_flops: trial.train_flops(),
            learning_rate: recipe.train.learning_rate,
            seed: signed("seed", recipe.seed)?,
            recipe_id: recipe_id.to_string(),
            cooldown: signed("cooldown", trial.cooldown)?,
        })
    }
}

/// A trial that another sweep brought is left as it is: the id is a hash of all that is in the row.
async fn insert_trials(conn: &mut SqliteConnection, members: &[Member<'_>]) -> Result<()> {
    let mut insert = QueryBuilder::new(
        "insert into trial (trial_id, family, shape, params, unique_examples, examples_seen, steps,
                            train_flops, learning_rate, seed, recipe_id, cooldown) ",
    );
    insert.push_values(members, |mut row, Member { trial, .. }| {
        row.push_bind(&trial.trial_id)
            .push_bind(trial.family)
            .push_bind(&trial.shape)
            .push_bind(trial.params)
            .push_bind(trial.unique_examples)
            .push_bind(trial.examples_seen)
            .push_bind(trial.steps)
            .push_bind(trial.train_flops)
            .push_bind(trial.learning_rate)
            .push_bind(trial.seed)
            .push_bind(&trial.recipe_id)
            .push_bind(trial.cooldown);
    });
    insert.push(" on conflict (trial_id) do nothing").build().execute(conn).await?;
    Ok(())
}

async fn insert_members(
    conn: &mut SqliteConnection,
    sweep: &str,
    members: &[Member<'_>],
) -> Result<()> {
    let mut insert = QueryBuilder::new(
        "insert into sweep_trial (sweep, trial_id, position, leaf_segment_id, variant) ",
    );
    insert.push_values(members, |mut row, member| {
        row.push_bind(sweep)
            .push_bind(&member.trial.trial_id)
            .push_bind(member.position)
            .push_bind(&member.leaf)
            .push_bind(member.variant);
    });
    insert.build().execute(conn).await?;
    Ok(())
}

async fn insert_segments(
    conn: &mut SqliteConnection,
    sweep: &str,
    members: &[Member<'_>],
) -> Result<()> {
    let links: Vec<_> = members
        .iter()
        .flat_map(|member| member.segments.iter().zip(0_i64..).map(move |link| (member, link)))
        .collect();
    for links in links.chunks(ROWS) {
        let mut insert =
            QueryBuilder::new("insert into trial_segment (sweep, trial_id, position, segment_id) ");
        insert.push_values(links, |mut row, (member, (segment_id, position))| {
            row.push_bind(sweep)
                .push_bind(&member.trial.trial_id)
                .push_bind(position)
                .push_bind(segment_id);
        });
        insert.build().execute(&mut *conn).await?;
    }
    Ok(())
}
