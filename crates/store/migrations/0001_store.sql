-- Columns, units and meaning: docs/store.md, which a test holds to this file.
-- STRICT, so that a value of the wrong type is an error and not a surprise. FLOPs are REAL: a large
-- sweep passes 2^63. The long `spec` columns come last, so that the others are read without them.

create table sweep (
    name text not null primary key,
    created_at real not null,
    updated_at real not null,
    source text not null,
    spec text not null check (json_valid(spec))
) strict;

create table trial (
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
    spec text not null
) strict;

create table segment (
    segment_id text not null primary key,
    parent_id text references segment (segment_id) deferrable initially deferred,
    kind text not null check (kind in ('trunk', 'cooldown', 'whole')),
    start_step integer not null,
    end_step integer not null check (end_step > start_step),
    train_flops real not null,
    state text not null default 'pending'
        check (state in ('pending', 'running', 'finished', 'diverged', 'failed')),
    attempt integer not null default 0,
    reason text,
    diverged_step integer,
    checkpoint_step integer,
    checkpoint_digest text,
    checkpoint_bytes integer,
    chain_device_s real,
    spec text not null
) strict;

-- Finds a chain's bad end without reading the specs.
create index segment_state on segment (segment_id, state);

create table sweep_trial (
    sweep text not null references sweep (name),
    trial_id text not null references trial (trial_id),
    position integer not null,
    leaf_segment_id text not null references segment (segment_id),
    primary key (sweep, trial_id)
) strict, without rowid;

-- A chain belongs to a sweep's plan, not to the trial alone: another sweep may cut the same trial's
-- trunk at other steps.
create table trial_segment (
    sweep text not null,
    trial_id text not null,
    position integer not null,
    segment_id text not null references segment (segment_id),
    primary key (sweep, trial_id, position),
    foreign key (sweep, trial_id) references sweep_trial (sweep, trial_id)
        deferrable initially deferred
) strict, without rowid;

create table attempt (
    segment_id text not null references segment (segment_id),
    attempt integer not null,
    outcome text not null default 'running'
        check (outcome in ('running', 'finished', 'diverged', 'interrupted', 'failed', 'lost')),
    device text not null,
    device_name text not null,
    threads integer not null,
    pid integer not null,
    started_at real not null,
    ended_at real,
    reason text,
    start_step integer,
    steps integer,
    train_flops real,
    device_s real,
    data_s real,
    primary key (segment_id, attempt)
) strict, without rowid;

create index attempt_running on attempt (segment_id) where outcome = 'running';

create table measurement (
    segment_id text not null references segment (segment_id),
    metric text not null,
    step integer not null,
    value real,
    primary key (segment_id, metric, step)
) strict, without rowid;

create table fit (
    id integer primary key,
    sweep text not null references sweep (name),
    law text not null,
    x text not null,
    y text not null,
    inputs_hash text not null,
    created_at real not null,
    json text not null check (json_valid(json)),
    unique (sweep, law, x, y, inputs_hash)
) strict;

create table provenance (
    id integer primary key,
    sweep text not null references sweep (name),
    at real not null,
    json text not null check (json_valid(json))
) strict;

create index provenance_sweep on provenance (sweep);

-- A trial is what its leaf is; while that waits, what the first of its segments that ended badly is.
create view trial_result as
select
    sweep_trial.sweep, trial.trial_id, family, shape, params, unique_examples, examples_seen, steps,
    trial.train_flops, learning_rate, seed, coalesce(bad.state, leaf.state) as state,
    (select value from measurement
     where segment_id = leaf.segment_id and metric = 'val_loss' and step = leaf.end_step) as val_loss,
    (select value from measurement
     where segment_id = leaf.segment_id and metric = 'val_error' and step = leaf.end_step) as val_error,
    coalesce(bad.chain_device_s, leaf.chain_device_s) as device_s
from sweep_trial
join trial using (trial_id)
join segment as leaf on leaf.segment_id = sweep_trial.leaf_segment_id
left join segment as bad on bad.segment_id = case when leaf.state = 'pending' then
    (select segment.segment_id from trial_segment as chain join segment using (segment_id)
     where chain.sweep = sweep_trial.sweep and chain.trial_id = sweep_trial.trial_id
       and segment.state in ('diverged', 'failed')
     order by chain.position limit 1)
end;

create view learning_curve as
select chain.sweep, chain.trial_id, measurement.metric, measurement.step, measurement.value
from trial_segment as chain join measurement using (segment_id);

create view sweep_spent as
select
    planned.sweep, count(*) as attempts, total(attempt.train_flops) as train_flops,
    total(attempt.device_s) as device_s
from (select distinct sweep, segment_id from trial_segment) as planned
join attempt using (segment_id)
group by planned.sweep;
