"""The embedded AWS: the real template and the real functions on one machine, without an account.

The way in is `lab.embedded.cloud.EmbeddedAws`. This file imports nothing, so that
`python -m lab.embedded.imds` starts as quickly as the standard library allows.

What is real: the template, the functions' code, the Lambda runtime client (`awslambdaric`), boto3
and the wire protocols. What is simulated: DynamoDB, EC2, SQS, SNS and CloudWatch (moto, in memory,
with corrections), EventBridge and Lambda's control plane (written here). What is absent: IAM
(policies are recorded, never evaluated), signatures (never checked), alarm evaluation, log groups,
and metrics from log lines. What is not supported is answered with an error that says so.
"""
