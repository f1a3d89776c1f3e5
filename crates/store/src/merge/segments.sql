-- Takes in recipes, trials, segments, attempts and measurements of the attached store `other`. Tables that
-- both have are compared execution by execution: what one store has and the other lacks is taken, and where
-- each has executed a segment without the other, one execution stands and the rest is kept beside it.

insert or ignore into recipe select * from other.recipe;
insert or ignore into trial select * from other.trial;

create temp table shared (segment_id text primary key) without rowid;
insert into shared select segment_id from segment join other.segment using (segment_id);

-- Every attempt at a shared segment once. It is the same in both stores if it began at the same time in the
-- same process or job.
create temp table execution as
select segment_id, started_at, device_name, pid, job, nth, max(mine) as mine, max(theirs) as theirs
from (
    select *, row_number() over (
        partition by theirs is null, segment_id, started_at, device_name, pid, job
        order by mine, theirs
    ) as nth
    from (
        select segment_id, started_at, device_name, pid, job, attempt as mine, null as theirs
        from attempt join shared using (segment_id)
        union all
        select segment_id, started_at, device_name, pid, job, null, attempt
        from other.attempt join shared using (segment_id)
    )
)
group by segment_id, started_at, device_name, pid, job, nth;

-- Attempts keep their numbers, which are the names of their folders, unless two have the same: then the
-- later one and those after it move up.
create temp table numbered as
select segment_id, mine, theirs, place + max(own - place) over (
    partition by segment_id order by place
) as attempt
from (
    select *, coalesce(min(mine, theirs), mine, theirs) as own, row_number() over (
        partition by segment_id order by started_at, device_name, pid, job, nth
    ) as place
    from execution
);
create index temp.numbered_segment on numbered (segment_id, mine, theirs);

-- Which store's execution of a shared segment stands: that which came furthest; of those that came as far,
-- that which knows of the other's attempts; of those that do not, that which ended first.
create temp view progress as
select false as is_theirs, segment_id, state, checkpoint_step, checkpoint_digest, chain_device_s,
       (select min(ended_at) from main.attempt
        where segment_id = one.segment_id and outcome = one.state) as ended_at,
       (select total(events) from main.attempt where segment_id = one.segment_id) as events
from main.segment as one
union all
select true, segment_id, state, checkpoint_step, checkpoint_digest, chain_device_s,
       (select min(ended_at) from other.attempt
        where segment_id = one.segment_id and outcome = one.state),
       (select total(events) from other.attempt where segment_id = one.segment_id)
from other.segment as one;

-- `my_last`, `their_last`: the attempt that reached the segment's state first, or else the newest.
create temp table verdict (
    segment_id text primary key, takes_theirs integer, mine_alone integer, theirs_alone integer,
    my_last integer, their_last integer
) without rowid;
insert into verdict
with ranked as (
    select *, case state when 'finished' then 3 when 'diverged' then 2 when 'failed' then 1 else 0 end
        as rank
    from progress join shared using (segment_id)
), known as (
    select segment_id, total(theirs is null) as mine_alone, total(mine is null) as theirs_alone
    from numbered group by segment_id
), paired as (
    select mine.segment_id,
           coalesce(mine_alone, 0) as mine_alone, coalesce(theirs_alone, 0) as theirs_alone,
           (theirs.rank, coalesce(theirs_alone > 0, 0) - coalesce(mine_alone > 0, 0),
            coalesce(theirs.checkpoint_step, -1), -coalesce(theirs.ended_at, 9e99), theirs.events,
            coalesce(theirs.chain_device_s, 0), coalesce(theirs.checkpoint_digest, ''))
           >
           (mine.rank, 0,
            coalesce(mine.checkpoint_step, -1), -coalesce(mine.ended_at, 9e99), mine.events,
            coalesce(mine.chain_device_s, 0), coalesce(mine.checkpoint_digest, '')) as takes_theirs
    from ranked as mine join ranked as theirs using (segment_id)
    left join known using (segment_id)
    where not mine.is_theirs and theirs.is_theirs
)
select segment_id, takes_theirs, mine_alone, theirs_alone,
       (select numbered.attempt
        from numbered join main.segment using (segment_id)
        join main.attempt as one on one.segment_id = numbered.segment_id and one.attempt = mine
        where numbered.segment_id = paired.segment_id
        order by outcome = state desc, iif(outcome = state, ended_at, -one.attempt) limit 1),
       (select numbered.attempt
        from numbered join other.segment using (segment_id)
        join other.attempt as one on one.segment_id = numbered.segment_id and one.attempt = theirs
        where numbered.segment_id = paired.segment_id
        order by outcome = state desc, iif(outcome = state, ended_at, -one.attempt) limit 1)
from paired;

-- What rivals measured before, under the new numbers.
create temp table rival as
select segment_id, numbered.attempt, metric, step, value
from other_measurement as old join numbered using (segment_id) where mine = old.attempt
union
select segment_id, numbered.attempt, metric, step, value
from other.other_measurement as old join numbered using (segment_id) where theirs = old.attempt;
delete from other_measurement where segment_id in (select segment_id from shared);

insert into segment
select * from other.segment where segment_id not in (select segment_id from shared);

update segment
set state = theirs.state, reason = theirs.reason, diverged_step = theirs.diverged_step,
    checkpoint_step = theirs.checkpoint_step, checkpoint_digest = theirs.checkpoint_digest,
    checkpoint_bytes = theirs.checkpoint_bytes, chain_device_s = theirs.chain_device_s,
    workload = coalesce(theirs.workload, segment.workload),
    predicted_s = coalesce(theirs.predicted_s, segment.predicted_s)
from verdict join other.segment as theirs using (segment_id)
where takes_theirs and segment.segment_id = verdict.segment_id;

update segment
set workload = coalesce(segment.workload, theirs.workload),
    predicted_s = coalesce(segment.predicted_s, theirs.predicted_s)
from verdict join other.segment as theirs using (segment_id)
where not takes_theirs and segment.segment_id = verdict.segment_id;

-- Of an attempt that both know, the row that heard more of it.
create temp table joined as
select mine.*, numbered.attempt as number
from numbered join main.attempt as mine on mine.segment_id = numbered.segment_id and mine.attempt = mine
left join other.attempt as theirs
    on theirs.segment_id = numbered.segment_id and theirs.attempt = numbered.theirs
where theirs.attempt is null
   or (mine.outcome <> 'lost', mine.events) >= (theirs.outcome <> 'lost', theirs.events);
insert into joined
select theirs.*, numbered.attempt
from numbered
join other.attempt as theirs on theirs.segment_id = numbered.segment_id and theirs.attempt = theirs
where (numbered.segment_id, numbered.attempt) not in (select segment_id, number from joined);
update joined set attempt = number;
alter table joined drop column number;
delete from attempt where segment_id in (select segment_id from shared);
insert into attempt select * from joined;
insert into attempt
select * from other.attempt where segment_id not in (select segment_id from shared);

update segment
set attempt = max(segment.attempt, theirs.attempt, coalesce(
    (select max(attempt) from attempt where attempt.segment_id = segment.segment_id), 0))
from other.segment as theirs join shared using (segment_id)
where segment.segment_id = theirs.segment_id;

insert or ignore into rival
select segment_id, my_last, metric, step, value
from main.measurement join verdict using (segment_id)
where takes_theirs and mine_alone and my_last is not null;
insert or ignore into rival
select segment_id, their_last, metric, step, value
from other.measurement join verdict using (segment_id)
where not takes_theirs and theirs_alone and their_last is not null;
insert or ignore into other_measurement select * from rival;
insert or ignore into other_measurement
select * from other.other_measurement where segment_id not in (select segment_id from shared);

delete from measurement where segment_id in (select segment_id from verdict where takes_theirs);
insert into measurement
select measurement.* from other.measurement
where segment_id not in (select segment_id from verdict where not takes_theirs);
