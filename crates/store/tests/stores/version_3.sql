-- A store that isoflop of version 3 of the schema made: a sweep of two lengths at two learning rates, trained by the
-- pretending trainer. Written by `sqlite3 FILE .dump`, with the two pragmas that a dump leaves out.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE sweep (
    name text not null primary key,
    created_at real not null,
    updated_at real not null,
    source text not null,
    spec text not null check (json_valid(spec))
, plan_hash text, train_flops real) strict;
INSERT INTO sweep VALUES('tiny',1795794673.7140369414,1795794673.7140369414,replace('# A store to open with later versions.\nname = "tiny"\nseeds = [0]\n[data]\nsource = "procedural"\nclasses = 8\n[model]\nfamily = "vit"\npatch = 16\nshapes = [{ width = 8, depth = 1, mlp = 32, heads = 1 }]\n[axes]\nunique_examples = [1024]\nexamples_seen = [16000, 32000]\n[train]\nbatch = 16\nlearning_rate = [1e-3, 3e-3]\nschedule = { decay = "constant", warmup = 10, cooldown = 0.2 }\n','\n',char(10)),'{"axes":{"examples_seen":[16000,32000],"unique_examples":[1024]},"data":{"classes":8,"source":"procedural"},"model":{"family":"vit","patch":16,"shapes":[{"depth":1,"heads":1,"mlp":32,"width":8}]},"name":"tiny","seeds":[0],"train":{"batch":16,"learning_rate":[0.001,0.003],"schedule":{"cooldown":0.2,"decay":"constant","warmup":10}}}','8574a1daefae7e82e60e063895913bac',11813683200.0);
CREATE TABLE sweep_trial (
    sweep text not null references sweep (name),
    trial_id text not null references trial (trial_id),
    position integer not null,
    leaf_segment_id text not null references segment (segment_id), variant text,
    primary key (sweep, trial_id)
) strict, without rowid;
INSERT INTO sweep_trial VALUES('tiny','03ec3f132d71463d3335b764017ed613',0,'ca9cd162d35bb66a9f235ee3675dc0ce',NULL);
INSERT INTO sweep_trial VALUES('tiny','5a8444c906dd2599f864df74756c3206',2,'e123a69f8d6558c965a1830ea15dd43b',NULL);
INSERT INTO sweep_trial VALUES('tiny','c0ac82e2e094498893930c387681bb24',1,'9209287e27369ab4189cecd6fbafa0ee',NULL);
INSERT INTO sweep_trial VALUES('tiny','dfefcacd7929aa884a4731d2cb980406',3,'adaae319f654be5c3fac7af81024f4e9',NULL);
CREATE TABLE trial_segment (
    sweep text not null,
    trial_id text not null,
    position integer not null,
    segment_id text not null references segment (segment_id),
    primary key (sweep, trial_id, position),
    foreign key (sweep, trial_id) references sweep_trial (sweep, trial_id)
        deferrable initially deferred
) strict, without rowid;
INSERT INTO trial_segment VALUES('tiny','03ec3f132d71463d3335b764017ed613',0,'3b3f627d69a88dcbd800e808ad6d0b98');
INSERT INTO trial_segment VALUES('tiny','dfefcacd7929aa884a4731d2cb980406',0,'3b3f627d69a88dcbd800e808ad6d0b98');
INSERT INTO trial_segment VALUES('tiny','5a8444c906dd2599f864df74756c3206',0,'692013c920b2d17036a2a22ab75eac88');
INSERT INTO trial_segment VALUES('tiny','c0ac82e2e094498893930c387681bb24',0,'692013c920b2d17036a2a22ab75eac88');
INSERT INTO trial_segment VALUES('tiny','c0ac82e2e094498893930c387681bb24',1,'9209287e27369ab4189cecd6fbafa0ee');
INSERT INTO trial_segment VALUES('tiny','dfefcacd7929aa884a4731d2cb980406',2,'adaae319f654be5c3fac7af81024f4e9');
INSERT INTO trial_segment VALUES('tiny','03ec3f132d71463d3335b764017ed613',1,'ca9cd162d35bb66a9f235ee3675dc0ce');
INSERT INTO trial_segment VALUES('tiny','5a8444c906dd2599f864df74756c3206',2,'e123a69f8d6558c965a1830ea15dd43b');
INSERT INTO trial_segment VALUES('tiny','5a8444c906dd2599f864df74756c3206',1,'f082dddd27b1a0caa9713ea1e9106cba');
INSERT INTO trial_segment VALUES('tiny','dfefcacd7929aa884a4731d2cb980406',1,'f4e850a7c0e880eed23d898aa5a6d2cd');
CREATE TABLE measurement (
    segment_id text not null references segment (segment_id),
    metric text not null,
    step integer not null,
    value real,
    primary key (segment_id, metric, step)
) strict, without rowid;
INSERT INTO measurement VALUES('3b3f627d69a88dcbd800e808ad6d0b98','val_error',800,0.78008857353899052622);
INSERT INTO measurement VALUES('3b3f627d69a88dcbd800e808ad6d0b98','val_loss',800,1.5601771470779810524);
INSERT INTO measurement VALUES('692013c920b2d17036a2a22ab75eac88','val_error',800,0.78008857353899052622);
INSERT INTO measurement VALUES('692013c920b2d17036a2a22ab75eac88','val_loss',800,1.5601771470779810524);
INSERT INTO measurement VALUES('9209287e27369ab4189cecd6fbafa0ee','val_error',1000,0.7504044073826540151);
INSERT INTO measurement VALUES('9209287e27369ab4189cecd6fbafa0ee','val_loss',1000,1.5008088147653080302);
INSERT INTO measurement VALUES('adaae319f654be5c3fac7af81024f4e9','val_error',2000,0.66620992321725125417);
INSERT INTO measurement VALUES('adaae319f654be5c3fac7af81024f4e9','val_loss',2000,1.3324198464345025083);
INSERT INTO measurement VALUES('ca9cd162d35bb66a9f235ee3675dc0ce','val_error',1000,0.7504044073826540151);
INSERT INTO measurement VALUES('ca9cd162d35bb66a9f235ee3675dc0ce','val_loss',1000,1.5008088147653080302);
INSERT INTO measurement VALUES('e123a69f8d6558c965a1830ea15dd43b','val_error',2000,0.66620992321725125417);
INSERT INTO measurement VALUES('e123a69f8d6558c965a1830ea15dd43b','val_loss',2000,1.3324198464345025083);
INSERT INTO measurement VALUES('f082dddd27b1a0caa9713ea1e9106cba','val_error',1600,0.69205149078562577802);
INSERT INTO measurement VALUES('f082dddd27b1a0caa9713ea1e9106cba','val_loss',1600,1.384102981571251556);
INSERT INTO measurement VALUES('f4e850a7c0e880eed23d898aa5a6d2cd','val_error',1600,0.69205149078562577802);
INSERT INTO measurement VALUES('f4e850a7c0e880eed23d898aa5a6d2cd','val_loss',1600,1.384102981571251556);
CREATE TABLE fit (
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
CREATE TABLE provenance (
    id integer primary key,
    sweep text not null references sweep (name),
    at real not null,
    json text not null check (json_valid(json))
) strict;
INSERT INTO provenance VALUES(1,'tiny',1795794673.7283444404,'{"isoflop_version":"0.1.0","git":null,"command":["isoflop","sweep","tiny.toml","--devices","cpu:1","--quiet"],"engine":"local","slots":[{"device":"cpu","gpu":null,"threads":2,"name":"a processor"}],"predicted_makespan_s":2.5411648511999996,"predicted_device_s":2.5411648511999996}');
INSERT INTO provenance VALUES(2,'tiny',1795794673.7290265559,'{"trainer":{"format":2,"trainer_version":"fake","libtorch_version":"none","device":"cpu","device_name":"imaginary","threads":1},"slot":0}');
CREATE TABLE recipe (
    recipe_id text not null primary key,
    json text not null
) strict;
INSERT INTO recipe VALUES('26f00d7a81b77ed71305808fb28d7ad4','{"data":{"classes":8,"difficulty":1.0,"first_class":0,"resolution":32,"seed":0,"source":"procedural"},"eval":{"attention":false,"every":null,"examples":4096},"format":2,"model":{"block":"sequential","classes":8,"drop_path":0.0,"dropout":0.0,"family":"vit","fc_norm":false,"gelu":"exact","mask_token":false,"mup":null,"no_embed_class":false,"norm":"layer-norm","patch":16,"pool":"gap","positions":"learned","pre_logits":false,"pre_norm":false,"qk_norm":false,"qkv_bias":true,"resolution":32,"shape":{"name":"8x1","shape":{"depth":1,"heads":1,"mlp":32,"width":8}}},"seed":0,"train":{"augmentation":{"crop_padding":0,"flip":false},"batch":16,"checkpoint_activations":false,"clip":1.0,"learning_rate":0.003,"micro_batch":null,"mixup":0.0,"objective":{"label_smoothing":0.0,"name":"softmax"},"optimiser":{"beta1":0.9,"beta2":0.95,"eps":1e-8,"first_moment":"f32","name":"adamw"},"polyak":null,"precision":"f32","schedule":{"decay":{"kind":"constant"},"warmup":10},"weight_decay":{"body":0.0,"convention":"rate","head":0.0}},"unique_examples":1024}');
INSERT INTO recipe VALUES('51c33858f147aba6c584329b2aee43e3','{"data":{"classes":8,"difficulty":1.0,"first_class":0,"resolution":32,"seed":0,"source":"procedural"},"eval":{"attention":false,"every":null,"examples":4096},"format":2,"model":{"block":"sequential","classes":8,"drop_path":0.0,"dropout":0.0,"family":"vit","fc_norm":false,"gelu":"exact","mask_token":false,"mup":null,"no_embed_class":false,"norm":"layer-norm","patch":16,"pool":"gap","positions":"learned","pre_logits":false,"pre_norm":false,"qk_norm":false,"qkv_bias":true,"resolution":32,"shape":{"name":"8x1","shape":{"depth":1,"heads":1,"mlp":32,"width":8}}},"seed":0,"train":{"augmentation":{"crop_padding":0,"flip":false},"batch":16,"checkpoint_activations":false,"clip":1.0,"learning_rate":0.001,"micro_batch":null,"mixup":0.0,"objective":{"label_smoothing":0.0,"name":"softmax"},"optimiser":{"beta1":0.9,"beta2":0.95,"eps":1e-8,"first_moment":"f32","name":"adamw"},"polyak":null,"precision":"f32","schedule":{"decay":{"kind":"constant"},"warmup":10},"weight_decay":{"body":0.0,"convention":"rate","head":0.0}},"unique_examples":1024}');
CREATE TABLE IF NOT EXISTS "trial" (
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
INSERT INTO trial VALUES('03ec3f132d71463d3335b764017ed613','vit','8x1',7144,1024,16000,1000,2684928000.0,0.0010000000000000000208,0,'51c33858f147aba6c584329b2aee43e3',200);
INSERT INTO trial VALUES('5a8444c906dd2599f864df74756c3206','vit','8x1',7144,1024,32000,2000,5369856000.0,0.0030000000000000000624,0,'26f00d7a81b77ed71305808fb28d7ad4',400);
INSERT INTO trial VALUES('c0ac82e2e094498893930c387681bb24','vit','8x1',7144,1024,16000,1000,2684928000.0,0.0030000000000000000624,0,'26f00d7a81b77ed71305808fb28d7ad4',200);
INSERT INTO trial VALUES('dfefcacd7929aa884a4731d2cb980406','vit','8x1',7144,1024,32000,2000,5369856000.0,0.0010000000000000000208,0,'51c33858f147aba6c584329b2aee43e3',400);
CREATE TABLE IF NOT EXISTS "segment" (
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
INSERT INTO segment VALUES('3b3f627d69a88dcbd800e808ad6d0b98',NULL,'trunk',0,800,2147942400.0,'718306e719141b69c30e739b6fa3be99',0.45942640639999998697,'finished',1,NULL,NULL,NULL,NULL,NULL,0.0010000000000000000208,'51c33858f147aba6c584329b2aee43e3',0,NULL);
INSERT INTO segment VALUES('692013c920b2d17036a2a22ab75eac88',NULL,'trunk',0,800,2147942400.0,'718306e719141b69c30e739b6fa3be99',0.45942640639999998697,'finished',1,NULL,NULL,NULL,NULL,NULL,0.0010000000000000000208,'26f00d7a81b77ed71305808fb28d7ad4',0,NULL);
INSERT INTO segment VALUES('9209287e27369ab4189cecd6fbafa0ee','692013c920b2d17036a2a22ab75eac88','cooldown',800,1000,536985600.0,'718306e719141b69c30e739b6fa3be99',0.11915248639999999336,'finished',1,NULL,NULL,NULL,NULL,NULL,0.0020000000000000000416,'26f00d7a81b77ed71305808fb28d7ad4',0,NULL);
INSERT INTO segment VALUES('adaae319f654be5c3fac7af81024f4e9','f4e850a7c0e880eed23d898aa5a6d2cd','cooldown',1600,2000,1073971200.0,'718306e719141b69c30e739b6fa3be99',0.23257712640000000048,'finished',1,NULL,NULL,NULL,NULL,NULL,0.0030000000000000000624,'51c33858f147aba6c584329b2aee43e3',0,NULL);
INSERT INTO segment VALUES('ca9cd162d35bb66a9f235ee3675dc0ce','3b3f627d69a88dcbd800e808ad6d0b98','cooldown',800,1000,536985600.0,'718306e719141b69c30e739b6fa3be99',0.11915248639999999336,'finished',1,NULL,NULL,NULL,NULL,NULL,0.0020000000000000000416,'51c33858f147aba6c584329b2aee43e3',0,NULL);
INSERT INTO segment VALUES('e123a69f8d6558c965a1830ea15dd43b','f082dddd27b1a0caa9713ea1e9106cba','cooldown',1600,2000,1073971200.0,'718306e719141b69c30e739b6fa3be99',0.23257712640000000048,'finished',1,NULL,NULL,NULL,NULL,NULL,0.0030000000000000000624,'26f00d7a81b77ed71305808fb28d7ad4',0,NULL);
INSERT INTO segment VALUES('f082dddd27b1a0caa9713ea1e9106cba','692013c920b2d17036a2a22ab75eac88','trunk',800,1600,2147942400.0,'718306e719141b69c30e739b6fa3be99',0.45942640639999998697,'finished',1,NULL,NULL,NULL,NULL,NULL,0.0020000000000000000416,'26f00d7a81b77ed71305808fb28d7ad4',0,NULL);
INSERT INTO segment VALUES('f4e850a7c0e880eed23d898aa5a6d2cd','3b3f627d69a88dcbd800e808ad6d0b98','trunk',800,1600,2147942400.0,'718306e719141b69c30e739b6fa3be99',0.45942640639999998697,'finished',1,NULL,NULL,NULL,NULL,NULL,0.0020000000000000000416,'51c33858f147aba6c584329b2aee43e3',0,NULL);
CREATE TABLE IF NOT EXISTS "attempt" (
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
INSERT INTO attempt VALUES('3b3f627d69a88dcbd800e808ad6d0b98',1,'finished','cpu','imaginary',2,3142,NULL,NULL,1795794673.7311122417,1795794673.742552042,NULL,0,800,2147942400.0,0.0010000000000000000208,0.0,NULL,0.0010000000000000000208,3,1795794673.742552042,NULL,NULL,NULL);
INSERT INTO attempt VALUES('692013c920b2d17036a2a22ab75eac88',1,'finished','cpu','imaginary',2,3142,NULL,NULL,1795794673.7286751269,1795794673.7305328845,NULL,0,800,2147942400.0,0.0010000000000000000208,0.0,NULL,0.0010000000000000000208,3,1795794673.7305328845,NULL,NULL,NULL);
INSERT INTO attempt VALUES('9209287e27369ab4189cecd6fbafa0ee',1,'finished','cpu','imaginary',2,3142,NULL,NULL,1795794673.7657442092,1795794673.7669115066,NULL,800,200,536985600.0,0.0010000000000000000208,0.0,NULL,0.0010000000000000000208,3,1795794673.7669115066,NULL,NULL,NULL);
INSERT INTO attempt VALUES('adaae319f654be5c3fac7af81024f4e9',1,'finished','cpu','imaginary',2,3142,NULL,NULL,1795794673.7634103298,1795794673.7648444175,NULL,1600,400,1073971200.0,0.0010000000000000000208,0.0,NULL,0.0010000000000000000208,3,1795794673.7648444175,NULL,NULL,NULL);
INSERT INTO attempt VALUES('ca9cd162d35bb66a9f235ee3675dc0ce',1,'finished','cpu','imaginary',2,3142,NULL,NULL,1795794673.7844929695,1795794673.7900986671,NULL,800,200,536985600.0,0.0010000000000000000208,0.0,NULL,0.0010000000000000000208,3,1795794673.7900986671,NULL,NULL,NULL);
INSERT INTO attempt VALUES('e123a69f8d6558c965a1830ea15dd43b',1,'finished','cpu','imaginary',2,3142,NULL,NULL,1795794673.7610573769,1795794673.7622461319,NULL,1600,400,1073971200.0,0.0010000000000000000208,0.0,NULL,0.0010000000000000000208,3,1795794673.7622461319,NULL,NULL,NULL);
INSERT INTO attempt VALUES('f082dddd27b1a0caa9713ea1e9106cba',1,'finished','cpu','imaginary',2,3142,NULL,NULL,1795794673.7550382614,1795794673.7565810679,NULL,800,800,2147942400.0,0.0010000000000000000208,0.0,NULL,0.0010000000000000000208,3,1795794673.7565810679,NULL,NULL,NULL);
INSERT INTO attempt VALUES('f4e850a7c0e880eed23d898aa5a6d2cd',1,'finished','cpu','imaginary',2,3142,NULL,NULL,1795794673.7571570872,1795794673.7583363055,NULL,800,800,2147942400.0,0.0010000000000000000208,0.0,NULL,0.0010000000000000000208,3,1795794673.7583363055,NULL,NULL,NULL);
CREATE TABLE calibration (
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
CREATE INDEX provenance_sweep on provenance (sweep);
CREATE INDEX segment_parent on segment (parent_id) where parent_id is not null;
CREATE INDEX segment_bad on segment (segment_id) where state in ('diverged', 'failed');
CREATE INDEX segment_transfer on segment (segment_id) where kind = 'transfer';
CREATE INDEX trial_segment_segment on trial_segment (sweep, segment_id);
CREATE INDEX attempt_running on attempt (segment_id) where outcome = 'running';
CREATE INDEX attempt_micro_batch on attempt (segment_id, micro_batch) where micro_batch is not null;
CREATE VIEW spec as
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
CREATE VIEW trial_state as
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
CREATE VIEW trial_result as
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
CREATE VIEW evaluation as
select chain.sweep, chain.trial_id, measurement.metric, measurement.value
from sweep_trial
join trial_segment as chain using (sweep, trial_id)
join segment using (segment_id)
join measurement on measurement.segment_id = segment.segment_id
    and measurement.step = segment.end_step
where (segment.kind = 'transfer' or segment.segment_id = sweep_trial.leaf_segment_id)
  and measurement.metric not in
      ('train_loss', 'gradient_norm', 'learning_rate', 'examples_per_s');
CREATE VIEW learning_curve as
select chain.sweep, chain.trial_id, measurement.metric, measurement.step, measurement.value
from trial_segment as chain
join segment using (segment_id)
join measurement using (segment_id)
where segment.kind <> 'transfer';
CREATE VIEW sweep_spent as
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
pragma application_id = 1769172838;
pragma user_version = 3;
COMMIT;
