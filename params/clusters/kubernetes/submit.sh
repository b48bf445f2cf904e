# submit.sh CPUS GPUS MEMORY SCRIPT: make a Job that runs the script, and print its name, by which status.sh asks.
set -eu
sed -e "s|{cpus}|$1|" -e "s|{gpus}|$2|" -e "s|{memory}|$3|g" -e "s|{script}|$4|" "$(dirname "$0")/job.yaml" |
    kubectl create -f - -o name
