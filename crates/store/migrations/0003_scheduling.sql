-- What a scheduler that survives anything needs to know, and room for sweeps of 100,000 trials: the
-- recipes, most of the bytes and the same in many trials and segments, have a table of their own, so
-- that everything else is small and found by its key alone.

drop view sweep_spent;
drop view learning_curve;
drop view evaluation;
drop view trial_result;

create table recipe (
    recipe_id text not null primary key,
    json text not null
) strict;

-- SQLite has no blake3: these recipes are named after a segment that has them.
insert into recipe
select min(id), json
from (select segment_id as id, spec -> '$.recipe' as json from segment
      union all
      select trial_id, spec -> '$.recipe' from trial)
group by json;

-- Without a hash, the plan is stored again when the sweep is next saved.
alter table sweep add column plan_hash text;
alter table sweep add column train_flops real;

create table new_trial (
    trial_id text not null primary key,
    family text not null,
    shape text not null,
    params integer not null,
    unique_examples integer not null,
    examples_seen integer not null,
    steps integer not null,
    train_flops real not null,
    learning_rate real not null,
    seed integer not null,
    recipe_id text not null references recipe (recipe_id),
    cooldown integer not null
) strict, without rowid;

insert into new_trial
select trial_id, family, shape, params, unique_examples, examples_seen, steps, train_flops,
       learning_rate, seed, recipe_id, spec ->> '$.cooldown'
from trial join recipe on recipe.json = spec -> '$.recipe';
drop table trial;
alter table new_trial rename to trial;

create table new_segment (
    segment_id text not null primary key,
    parent_id text references segment (segment_id) deferrable initially deferred,
    kind text not null check (kind in ('trunk', 'cooldown', 'whole', 'transfer')),
    start_step integer not null,
    end_step integer not null check (end_step > start_step),
    train_flops real not null,
    workload text,
    predicted_s real,
    state text not null default 'pending'
        check (state in ('pending', 'running', 'finished', 'diverged', 'failed')),
    attempt integer not null default 0,
    reason text,
    diverged_step integer,
    checkpoint_step integer,
    checkpoint_digest text,
    checkpoint_bytes integer,
    chain_device_s real,
    recipe_id text not null references recipe (recipe_id),
    cooldown integer not null,
    transfer text
) strict, without rowid;

insert into new_segment
select segment_id, parent_id, kind, start_step, end_step, train_flops, null, null, state, attempt,
       reason, diverged_step, checkpoint_step, checkpoint_digest, checkpoint_bytes, chain_device_s,
       recipe_id, coalesce(spec ->> '$.cooldown', 0), spec -> '$.transfer'
from segment join recipe on recipe.json = spec -> '$.recipe';
drop table segment;
alter table new_segment rename to segment;

-- Finds who needs a checkpoint.
create index segment_parent on segment (parent_id) where parent_id is not null;

-- Finds chains' bad ends.
create index segment_bad on segment (segment_id) where state in ('diverged', 'failed');

-- Counts evaluations on other tasks; most sweeps have none.
create index segment_transfer on segment (segment_id) where kind = 'transfer';

-- Each segment of a sweep once, and in the order in which everything else about it is stored.
create index trial_segment_segment on trial_segment (sweep, segment_id);

create table new_attempt (
    segment_id text not null references segment (segment_id),
    attempt integer not null,
    outcome text not null default 'running'
        check (outcome in ('running', 'finished', 'diverged', 'interrupted', 'failed', 'lost')),
    device text not null,
    device_name text not null,
    threads integer not null,
    pid integer,
    job text,
    micro_batch integer,
    started_at real not null,
    ended_at real,
    reason text,
    start_step integer,
    steps integer,
    train_flops real,
    device_s real,
    data_s real,
    peak_bytes integer,
    charged_s real not null default 0,
    events integer not null default 0,
    heard_at real,
    stretch_at real,
    stretch_step integer,
    steps_before integer,
    primary key (segment_id, attempt)
) strict, without rowid;

-- A running one's events are counted from 0 again, and with them what it has used.
insert into new_attempt (segment_id, attempt, outcome, device, device_name, threads, pid, started_at,
    ended_at, reason, start_step, steps, train_flops, device_s, data_s, charged_s)
select segment_id, attempt, outcome, device, device_name, threads, pid, started_at, ended_at, reason,
    start_step, iif(outcome = 'running', null, steps), train_flops, device_s, data_s,
    coalesce(device_s, 0)
from attempt;
drop table attempt;
alter table new_attempt rename to attempt;

create index attempt_running on attempt (segment_id) where outcome = 'running';
create index attempt_micro_batch on attempt (segment_id, micro_batch) where micro_batch is not null;

create table calibration (
    workload text not null,
    device_name text not null,
    threads integer not null,
    step_s real,
    example_s real,
    peak_bytes integer,
    out_of_memory integer not null default 0 check (out_of_memory in (0, 1)),
    at real not null,
    primary key (workload, device_name, threads)
) strict, without rowid;

-- The text whose hash each id is: keys in order, no spaces.
create view spec as
select trial_id as id,
       '{"cooldown":' || cooldown || ',"recipe":' || json || ',"steps":' || steps || '}' as json
from trial join recipe using (recipe_id)
union all
select segment_id,
       '{' || iif(cooldown = 0, '', '"cooldown":' || cooldown || ',')
       || '"end":' || end_step || ',"kind":"' || kind || '","parent":'
       || coalesce('"' || parent_id || '"', 'null') || ',"recipe":' || json || ',"start":' || start_step
       || coalesce(',"transfer":' || transfer, '') || '}'
from segment join recipe using (recipe_id);

-- A trial is what its leaf is; while that waits, what the first of its segments that ended badly is.
-- What became of its evaluations on other tasks does not matter. Few segments end badly, so the search
-- begins with them.
create view trial_state as
select
    sweep_trial.sweep, sweep_trial.trial_id, position, variant, leaf_segment_id,
    leaf.end_step as steps, leaf.workload, coalesce(bad.state, leaf.state) as state,
    coalesce(bad.chain_device_s, leaf.chain_device_s) as device_s
from sweep_trial
join segment as leaf on leaf.segment_id = leaf_segment_id
left join (
    select chain.sweep, chain.trial_id, min(chain.position), segment.state, segment.chain_device_s
    from sweep
    cross join segment
    cross join trial_segment as chain
        on chain.sweep = sweep.name and chain.segment_id = segment.segment_id
    where segment.state in ('diverged', 'failed') and segment.kind <> 'transfer'
    group by chain.sweep, chain.trial_id
) as bad
    on leaf.state = 'pending'
    and bad.sweep = sweep_trial.sweep and bad.trial_id = sweep_trial.trial_id;

create view trial_result as
select
    sweep, trial_id, family, shape, params, unique_examples, examples_seen, trial.steps,
    train_flops, learning_rate, seed, state,
    (select value from measurement
     where segment_id = leaf_segment_id and metric = 'val_loss' and step = trial_state.steps)
        as val_loss,
    (select value from measurement
     where segment_id = leaf_segment_id and metric = 'val_error' and step = trial_state.steps)
        as val_error,
    device_s, variant
from trial_state join trial using (trial_id);

-- The last word of a trial's own evaluation and of those on other tasks. What a trainer says of its
-- steps on the way there is no evaluation.
create view evaluation as
select chain.sweep, chain.trial_id, measurement.metric, measurement.value
from sweep_trial
join trial_segment as chain using (sweep, trial_id)
join segment using (segment_id)
join measurement on measurement.segment_id = segment.segment_id
    and measurement.step = segment.end_step
where (segment.kind = 'transfer' or segment.segment_id = sweep_trial.leaf_segment_id)
  and measurement.metric not in
      ('train_loss', 'gradient_norm', 'learning_rate', 'examples_per_s');

create view learning_curve as
select chain.sweep, chain.trial_id, measurement.metric, measurement.step, measurement.value
from trial_segment as chain
join segment using (segment_id)
join measurement using (segment_id)
where segment.kind <> 'transfer';

create view sweep_spent as
select
    planned.sweep, count(*) as attempts,
    total(attempt.train_flops) filter (where segment.kind <> 'transfer') as train_flops,
    total(attempt.device_s) as device_s,
    total(attempt.train_flops) filter (where segment.kind = 'transfer') as evaluation_flops,
    total(attempt.charged_s + coalesce(attempt.heard_at - attempt.stretch_at, 0)) as charged_s
from (select distinct sweep, segment_id from trial_segment) as planned
join segment using (segment_id)
join attempt using (segment_id)
group by planned.sweep;
