-- Databases and least-privilege logins of a deployment. The container runs it when its volume is new; again by hand,
-- after a password has changed in .env or with a new release (docs/deployment.md). For psql: passwords come from the
-- environment.
--
--   database     who                what they may
--   airflow      airflow            owns it
--   mlflow       mlflow             owns it, and mlflow_auth, with MLflow's users
--   warehouse    shop_owner         owns it: whoever loads the shop's tables
--                shop_reader        reads schema shop, nothing else: connection shop_warehouse
--   marketing    pipeline           makes and owns the schemas in it: connection marketing
--                crm_reader         } no logins: their members read what publishing grants them (docs/contract.md)
--                dashboard_reader   }
\set ON_ERROR_STOP on
\getenv airflow_password AIRFLOW_DB_PASSWORD
\getenv mlflow_password MLFLOW_DB_PASSWORD
\getenv pipeline_password PIPELINE_DB_PASSWORD
\getenv shop_owner_password SHOP_OWNER_PASSWORD
\getenv shop_reader_password SHOP_READER_PASSWORD

select format('create role %I', wanted.name) as make_role
from
    unnest(
        array['airflow', 'mlflow', 'pipeline', 'shop_owner', 'shop_reader', 'crm_reader', 'dashboard_reader']
    ) as wanted (name)
where not exists (select from pg_roles where pg_roles.rolname = wanted.name)
\gexec

alter role airflow login password :'airflow_password';
alter role mlflow login password :'mlflow_password';
alter role pipeline login password :'pipeline_password';
alter role shop_owner login password :'shop_owner_password';
alter role shop_reader login password :'shop_reader_password';

select format('create database %I owner %I', wanted.name, wanted.owner) as make_database
from (
    values
    ('airflow', 'airflow'),
    ('mlflow', 'mlflow'),
    ('mlflow_auth', 'mlflow'),
    ('warehouse', 'shop_owner'),
    ('marketing', current_user)
) as wanted (name, owner)
where not exists (select from pg_database where pg_database.datname = wanted.name)
\gexec

revoke all on database airflow, mlflow, mlflow_auth, warehouse, marketing, postgres, template1 from public;
grant connect on database warehouse to shop_reader;
grant connect, create, temporary on database marketing to pipeline;
grant connect on database marketing to crm_reader, dashboard_reader;

\connect warehouse
create schema if not exists shop authorization shop_owner;
grant usage on schema shop to shop_reader;
grant select on all tables in schema shop to shop_reader;
alter default privileges for role shop_owner in schema shop grant select on tables to shop_reader;
