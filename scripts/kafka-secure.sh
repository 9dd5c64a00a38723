# Sourced by scripts/kafka for --secure: certificates, passwords and settings of a broker that checks who does what.
#
# DIR/secure holds, for that broker or cluster alone:
#   ca.pem                 what signed its certificate
#   admin.password         of the user admin, who may do everything
#   frostline.password     of the user frostline, who may do nothing at first
#   client.pem             certificate and key of the user frostline, for the port that asks for one
#   token.key              signs tokens (JWT, RS256, key id test, audience kafka), whose sub is the user's name
#   admin.properties       for Kafka's own tools (--command-config), as admin
#   frostline.toml         the section [kafka] of a configuration of frostline, as the user frostline

# make_certificate NAME FILE: certificate and key in one file, signed by the CA.
make_certificate() {
  (
    cd -- "$dir/secure"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" \
      -keyout "$1.key" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" \
      -extfile <(echo "subjectAltName=IP:127.0.0.1,DNS:localhost")
    cat "$1.key" "$1.crt" ca.pem >"$2"
    rm "$1.key" "$1.csr" "$1.crt"
  ) >/dev/null 2>>"$dir/log/openssl.log" || die "openssl cannot make a certificate; see $dir/log/openssl.log"
}

make_secrets() {
  [[ ! -e $dir/secure/ready ]] || return 0
  command -v openssl >/dev/null || die "openssl not found: --secure needs it for certificates"
  mkdir -p "$dir/secure" "$dir/log"
  chmod 0700 "$dir/secure"
  (
    umask 077
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=test CA" \
      -keyout "$dir/secure/ca.key" -out "$dir/secure/ca.pem" >/dev/null 2>"$dir/log/openssl.log" ||
      die "openssl cannot make a CA; see $dir/log/openssl.log"
    make_certificate admin "$dir/secure/broker.pem"
    make_certificate frostline "$dir/secure/client.pem"
    make_token_key
    local user
    for user in admin frostline; do
      head -c 24 /dev/urandom | base64 | tr -d '/+=\n' >"$dir/secure/$user.password"
    done
    touch "$dir/secure/ready"
  )
}

# The key of tokens, and its public part as brokers read it.
make_token_key() {
  local modulus
  openssl genrsa -out "$dir/secure/token.key" 2048 2>>"$dir/log/openssl.log" || die "openssl cannot make a key"
  modulus=$(openssl rsa -in "$dir/secure/token.key" -noout -modulus 2>/dev/null | sed 's/^Modulus=//')
  modulus=$(perl -e 'print pack "H*", shift' "$modulus" | base64 -w0 | tr '+/' '-_' | tr -d '=')
  echo "{\"keys\": [{\"kty\": \"RSA\", \"kid\": \"test\", \"alg\": \"RS256\", \"use\": \"sig\", \
\"n\": \"$modulus\", \"e\": \"AQAB\"}]}" >"$dir/secure/jwks.json"
}

# What `format` needs besides: the users, whose passwords are kept in the cluster's own log.
scram_users() {
  local user
  for user in admin frostline; do
    echo "--add-scram"
    echo "SCRAM-SHA-512=[name=$user,password=$(<"$dir/secure/$user.password")]"
  done
}

# Appended to the settings: everything is encrypted, everybody has a name, and nobody but admin may do anything.
# The broker and its controller know each other by the certificate of admin.
secure_settings() {
  # A directory of an earlier version has none.
  [[ -e $dir/secure/jwks.json ]] || (umask 077; make_token_key)
  (umask 077; cat >>"$conf" <<END
listeners=SASL_SSL://127.0.0.1:$port,SSL://127.0.0.1:$tls_port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=SASL_SSL://127.0.0.1:$port,SSL://127.0.0.1:$tls_port
listener.security.protocol.map=SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:SSL
inter.broker.listener.name=SASL_SSL
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
sasl.enabled.mechanisms=SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule \
required username="admin" password="$(<"$dir/secure/admin.password")";
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.sasl_ssl.oauthbearer.sasl.server.callback.handler.class=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
listener.name.sasl_ssl.oauthbearer.sasl.oauthbearer.jwks.endpoint.url=$(token_keys)
listener.name.sasl_ssl.oauthbearer.sasl.oauthbearer.expected.audience=kafka
# A client whose token has run out must bring a new one.
listener.name.sasl_ssl.oauthbearer.connections.max.reauth.ms=3600000
ssl.keystore.type=PEM
ssl.keystore.location=secure/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=secure/ca.pem
listener.name.ssl.ssl.client.auth=required
listener.name.controller.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*\$/\$1/
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin
END
  )
  client_files "127.0.0.1:$port" "127.0.0.1:$tls_port"
}

# client_files ADDRESSES TLS-ADDRESSES: what clients need, for a broker or a cluster.
client_files() {
  cat >"$dir/secure/frostline.toml" <<END
[kafka]
brokers = "$1"

[kafka.client]
"security.protocol" = "SASL_SSL"
"sasl.mechanism" = "SCRAM-SHA-512"
"sasl.username" = "frostline"
"sasl.password" = "\${file:$dir/secure/frostline.password}"
"ssl.ca.location" = "$dir/secure/ca.pem"

# The same user by its certificate, on the other port:
#   brokers = "$2"
#   "security.protocol" = "SSL"
#   "ssl.ca.location" = "$dir/secure/ca.pem"
#   "ssl.certificate.location" = "$dir/secure/client.pem"
#   "ssl.key.location" = "$dir/secure/client.pem"
END
  (umask 077; cat >"$dir/secure/admin.properties" <<END
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="admin" password="$(<"$dir/secure/admin.password")";
ssl.truststore.type=PEM
ssl.truststore.location=$dir/secure/ca.pem
END
  )
}

# Where brokers find the keys of tokens. The JVM must be allowed to read it, too.
token_keys() { echo "file://$dir/secure/jwks.json"; }

# Whether a TLS server answers on this port.
answers_tls() {
  timeout 3 openssl s_client -connect "127.0.0.1:$1" -CAfile "$dir/secure/ca.pem" -verify_return_error \
    </dev/null >/dev/null 2>&1
}
