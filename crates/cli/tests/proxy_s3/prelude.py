# What the tests' clients begin with: ENDPOINT CA CERTIFICATE KEY ID SECRET, then the lines to run.
import json, sys, boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, ca, certificate, key, access, secret, lines = sys.argv[1:8]
config = Config(
    s3={"addressing_style": "path"},
    retries={"total_max_attempts": 1},
    client_cert=(certificate, key) if certificate else None,
)
s = boto3.client("s3", endpoint_url=endpoint, verify=ca or None, aws_access_key_id=access,
                 aws_secret_access_key=secret, region_name="us-east-1", config=config)
B = "shop-downloads"
try:
    exec(lines)
    print("done")
except ClientError as e:
    print(e.response["ResponseMetadata"]["HTTPStatusCode"], e.response["Error"]["Code"])
    print(e.response["Error"]["Message"])
