# status.sh NAME: running, success or failed, as Snakemake asks. A question that is not answered says nothing of the
# run: it counts as running and is asked again; a Job that is gone has failed.
if ! conditions=$(kubectl get "$1" --ignore-not-found -o 'jsonpath={.metadata.name} {.status.conditions[*].type}'); then
    echo running
    exit
fi
case "$conditions" in
    "") echo failed ;;
    *Complete*) echo success ;;
    *Failed*) echo failed ;;
    *) echo running ;;
esac
