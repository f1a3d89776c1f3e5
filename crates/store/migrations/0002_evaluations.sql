-- Evaluations of trials on other tasks, and the variants of sweeps. Foreign keys are off while this
-- runs (see open.rs): SQLite changes a check only by making the table anew.

drop view sweep_spent;
drop view learning_curve;
drop view trial_result;

create table new_segment (
    segment_id text not null primary key,
    parent_id text references segment (segment_id) deferrable initially deferred,
    kind text not null check (kind in ('trunk', 'cooldown', 'whole', 'transfer')),
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

insert into new_segment select * from segment;
drop table segment;
alter table new_segment rename to segment;

-- Finds a chain's bad end, and tells training from evaluations, without reading the specs.
create index segment_state on segment (segment_id, state, kind, end_step);

alter table sweep_trial add column variant text;

-- A trial is what its leaf is; while that waits, what the first of its segments that ended badly is.
-- What became of its evaluations on other tasks does not matter.
create view trial_result as
select
    sweep_trial.sweep, trial.trial_id, family, shape, params, unique_examples, examples_seen, steps,
    trial.train_flops, learning_rate, seed, coalesce(bad.state, leaf.state) as state,
    (select value from measurement
     where segment_id = leaf.segment_id and metric = 'val_loss' and step = leaf.end_step) as val_loss,
    (select value from measurement
     where segment_id = leaf.segment_id and metric = 'val_error' and step = leaf.end_step) as val_error,
    coalesce(bad.chain_device_s, leaf.chain_device_s) as device_s,
    sweep_trial.variant
from sweep_trial
join trial using (trial_id)
join segment as leaf on leaf.segment_id = sweep_trial.leaf_segment_id
left join segment as bad on bad.segment_id = case when leaf.state = 'pending' then
    (select segment.segment_id from trial_segment as chain join segment using (segment_id)
     where chain.sweep = sweep_trial.sweep and chain.trial_id = sweep_trial.trial_id
       and segment.state in ('diverged', 'failed') and segment.kind <> 'transfer'
     order by chain.position limit 1)
end;

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
    total(attempt.train_flops) filter (where segment.kind = 'transfer') as evaluation_flops
from (select distinct sweep, segment_id from trial_segment) as planned
join segment using (segment_id)
join attempt using (segment_id)
group by planned.sweep;
