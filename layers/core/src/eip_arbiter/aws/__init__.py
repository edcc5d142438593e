"""What speaks to AWS: the only room that knows boto3, botocore or Powertools.

Each module implements ports that the rooms below define; only `assembly` puts them together.
"""
