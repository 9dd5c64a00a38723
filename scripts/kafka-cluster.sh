# shellcheck shell=bash
# Sourced by scripts/kafka: a cluster of several nodes, each with a directory DIR/node-N of the form that a single
# broker has. So `scripts/kafka kill --dir DIR/node-2` and `start --dir DIR/node-2` work as well.
#
# DIR/node-N/node has what a node knows of the cluster: its id, the voters of the quorum, and how many replicas a
# partition has. All nodes are brokers and controllers; two of three must be there.

# Sets `node_id`, `voters` and `replicas`, those of a single broker if the directory is none of a cluster's.
read_node() {
  node_id=1 voters=1@127.0.0.1:$controller_port replicas=1
  [[ ! -e $dir/node ]] || read -r node_id voters replicas <"$dir/node"
}

is_cluster() { [[ -d $dir/node-1 ]]; }

# Runs a command in each node's directory, all at a time, and prints the addresses of those that answer.
each_node() {
  local node children=() failed=0
  for node in "$dir"/node-[1-9]; do
    "$0" "$1" --dir "$node" >"$node.address" 9>&- &
    children+=($!)
  done
  for node in "${children[@]}"; do wait "$node" || failed=1; done
  case $1 in start | status) { grep -h . "$dir"/node-[1-9].address || true; } | paste -sd, ;; esac
  return "$failed"
}

# Starts all nodes and prints their addresses. The nodes of a secure cluster have copies of its secrets.
start_cluster() {
  local addresses tls
  addresses=$(each_node start) || return
  if [[ -e $dir/secure ]]; then
    tls=$(awk '{ print "127.0.0.1:" $3 }' "$dir"/node-[1-9]/ports | paste -sd,)
    client_files "$addresses" "$tls"
  fi
  echo "$addresses"
}

# Gives each of so many nodes its ports, its part of the quorum, and with --secure the secrets.
make_nodes() {
  local number id free all='' used=' '
  [[ -z $secure ]] || make_secrets
  id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_')
  for ((number = 1; number <= $1; number++)); do
    mkdir -p "$dir/node-$number.new"
    for _ in client controller tls; do
      until pick_port && [[ $used != *" $free "* ]]; do :; done
      used+="$free "
    done
    echo "k${id:1:21}" >"$dir/node-$number.new/cluster-id"
  done
  # shellcheck disable=SC2206 # One word for each port.
  local ports=($used)
  for ((number = 1; number <= $1; number++)); do all+=",$number@127.0.0.1:${ports[3 * number - 2]}"; done
  for ((number = 1; number <= $1; number++)); do
    echo "${ports[3 * number - 3]} ${ports[3 * number - 2]} ${ports[3 * number - 1]}" >"$dir/node-$number.new/ports"
    [[ -z $secure ]] || cp -a "$dir/secure" "$dir/node-$number.new/secure"
    echo "$number ${all#,} $(($1 < 3 ? $1 : 3))" >"$dir/node-$number.new/node"
  done
  for ((number = $1; number >= 1; number--)); do mv "$dir/node-$number.new" "$dir/node-$number"; done
}

# Kills a node, chosen at random, and starts it again.
bounce() {
  local nodes=("$dir"/node-[1-9])
  local node=${nodes[RANDOM % ${#nodes[@]}]}
  "$0" kill --dir "$node"
  "$0" start --dir "$node"
}
