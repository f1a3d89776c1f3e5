-- Takes in the sweeps of the attached store `other`, after segments.sql. Sweeps of one name have, by then, the
-- same trials, or one has all that the other has: the larger stands, and of equal ones the later.

create temp table held as
select sweep.name as sweep, mine.n as mine, theirs.n as theirs,
       (theirs.n, theirs.updated_at, theirs.source) > (mine.n, mine.updated_at, mine.source)
           as takes_theirs
from sweep
join (select *, (select count(*) from main.sweep_trial where sweep = name) as n from main.sweep) as mine
    using (name)
join (select *, (select count(*) from other.sweep_trial where sweep = name) as n from other.sweep)
    as theirs using (name);

insert into sweep select * from other.sweep where name not in (select sweep from held);

update sweep
set source = iif(takes_theirs, theirs.source, sweep.source),
    spec = iif(takes_theirs, theirs.spec, sweep.spec),
    plan_hash = iif(theirs.plan_hash = sweep.plan_hash, sweep.plan_hash, null),
    created_at = min(sweep.created_at, theirs.created_at),
    updated_at = max(sweep.updated_at, theirs.updated_at)
from held join other.sweep as theirs on theirs.name = held.sweep
where sweep.name = held.sweep;

-- The same trial may be cut into other segments: the chain that came further stands.
create temp table member as
with mine as (
    select sweep_trial.*, (select state from main.segment where segment_id = leaf_segment_id) = 'finished'
        as is_done
    from main.sweep_trial
), theirs as (
    select sweep_trial.*, (select state from other.segment where segment_id = leaf_segment_id) = 'finished'
        as is_done
    from other.sweep_trial
)
select sweep, trial_id, iif(takes_theirs, theirs.position, mine.position) as position,
       iif(takes_theirs, theirs.variant, mine.variant) as variant,
       case when mine.trial_id is null then true when theirs.trial_id is null then false
            else (theirs.is_done, takes_theirs) > (mine.is_done, not takes_theirs) end as is_theirs,
       mine.leaf_segment_id as my_leaf, theirs.leaf_segment_id as their_leaf
from held
join (select sweep, trial_id from mine union select sweep, trial_id from theirs) as either using (sweep)
left join mine using (sweep, trial_id)
left join theirs using (sweep, trial_id);

create temp table chain as
select trial_segment.* from main.trial_segment join member using (sweep, trial_id) where not is_theirs
union all
select trial_segment.* from other.trial_segment join member using (sweep, trial_id) where is_theirs;

delete from trial_segment where sweep in (select sweep from held);
delete from sweep_trial where sweep in (select sweep from held);
insert into sweep_trial (sweep, trial_id, position, leaf_segment_id, variant)
select sweep, trial_id, position, iif(is_theirs, their_leaf, my_leaf), variant from member;
insert into trial_segment select * from chain;
insert into sweep_trial select * from other.sweep_trial where sweep not in (select sweep from held);
insert into trial_segment select * from other.trial_segment where sweep not in (select sweep from held);

insert into fit (sweep, law, x, y, inputs_hash, created_at, json)
select sweep, law, x, y, inputs_hash, created_at, json from other.fit where true
order by created_at, id
on conflict (sweep, law, x, y, inputs_hash) do update
set created_at = excluded.created_at, json = excluded.json
where excluded.created_at > fit.created_at;

insert into provenance (sweep, at, json)
select sweep, at, json from other.provenance as theirs
where not exists (select 1 from main.provenance as mine
                  where mine.sweep = theirs.sweep and mine.at = theirs.at and mine.json = theirs.json)
order by id;

insert into calibration select * from other.calibration where true
on conflict (workload, device_name, threads) do update
set step_s = excluded.step_s, example_s = excluded.example_s, peak_bytes = excluded.peak_bytes,
    out_of_memory = excluded.out_of_memory, at = excluded.at
where excluded.at > calibration.at;
