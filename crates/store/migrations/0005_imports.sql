-- Trials of others: what they do not say of themselves is NULL, so a trial's steps, rate and seed may
-- be. Foreign keys are off while this runs (see open.rs), and with the old rule of `alter table` views
-- may name the table that is gone for a moment.

pragma legacy_alter_table = on;

create table new_trial (
    trial_id text not null primary key,
    family text not null,
    shape text not null,
    params integer not null,
    unique_examples integer not null,
    examples_seen integer not null,
    steps integer,
    train_flops real not null,
    learning_rate real,
    seed integer,
    recipe_id text not null references recipe (recipe_id),
    cooldown integer not null
) strict, without rowid;

insert into new_trial select * from trial;
drop table trial;
alter table new_trial rename to trial;

pragma legacy_alter_table = off;

-- The text whose hash each id is: keys in order, no spaces.
drop view spec;
create view spec as
select trial_id as id,
       '{"cooldown":' || cooldown || ',"recipe":' || json || ',"steps":' || coalesce(steps, 'null')
       || '}' as json
from trial join recipe using (recipe_id)
union all
select segment_id,
       '{' || iif(cooldown = 0, '', '"cooldown":' || cooldown || ',')
       || '"end":' || end_step || ',"kind":"' || kind || '","parent":'
       || coalesce('"' || parent_id || '"', 'null') || ',"recipe":' || json || ',"start":' || start_step
       || coalesce(',"transfer":' || transfer, '') || '}'
from segment join recipe using (recipe_id);

update dictionary set meaning = meaning || '; NULL of an imported trial that does not say'
where relation = 'trial_result' and column_name in ('steps', 'learning_rate', 'seed');

update dictionary set meaning = 'NULL of an imported trial that does not say'
where relation = 'trial' and column_name in ('steps', 'learning_rate', 'seed');

update dictionary set meaning = meaning || '; 1 of an imported trial that does not say its steps'
where relation = 'segment' and column_name = 'end_step';

update dictionary set meaning = meaning || '; of an imported one, a comment that says where it is from'
where relation = 'sweep' and column_name = 'source';

update dictionary set meaning = meaning || '; of an imported one, an object with the key `imported`'
where relation = 'sweep' and column_name = 'spec';
