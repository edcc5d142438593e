"""What speaks to AWS: the only room that knows boto3, botocore or Powertools.

Each module implements ports that the rooms below define; `assembly` puts them together.
"""
