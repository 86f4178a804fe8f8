CREATE DATABASE mlflow_accounts;
CREATE DATABASE studies;
