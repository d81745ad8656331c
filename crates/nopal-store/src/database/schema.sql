-- The schema, version 1. Migrations are in mod.rs, one function per version.

-- One row per valid path. `path` is a base name: the logical store directory is a property of the whole store.
create table ValidPaths (
    id                integer primary key autoincrement not null,
    path              text unique not null,
    nar_hash          text not null, -- "sha256:" and base 16
    nar_size          integer not null,
    registration_time integer not null, -- seconds since the epoch
    deriver           text,
    ultimate          integer not null,
    signatures        text not null, -- separated by spaces
    ca                text
) strict;

create table Refs (
    referrer  integer not null,
    reference integer not null,
    primary key (referrer, reference),
    foreign key (referrer) references ValidPaths(id) on delete cascade,
    foreign key (reference) references ValidPaths(id) on delete restrict
) strict, without rowid;

create index IndexReference on Refs(reference);

create index IndexDeriver on ValidPaths(deriver) where deriver is not null;

-- A path that refers to itself would forbid its own deletion.
create trigger DeleteSelfRefs before delete on ValidPaths
    begin
        delete from Refs where referrer = old.id and reference = old.id;
    end;

-- Output paths of valid derivations, as far as they are known before a build. The paths need not be valid.
create table DerivationOutputs (
    drv    integer not null,
    output text not null,
    path   text not null,
    primary key (drv, output),
    foreign key (drv) references ValidPaths(id) on delete cascade
) strict, without rowid;

create index IndexDerivationOutputs on DerivationOutputs(path);

-- What content-addressed derivations turned out to produce.
create table Realisations (
    drv_output text primary key not null, -- "sha256:HEX!OUTPUT"
    path       integer not null,
    signatures text not null, -- separated by spaces
    foreign key (path) references ValidPaths(id) on delete cascade
) strict, without rowid;

create index IndexRealisations on Realisations(path);

-- What this store is, so that it is not opened as something else.
create table Store (
    key   text primary key not null,
    value text not null
) strict, without rowid;
