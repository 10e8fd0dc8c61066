#!/bin/sh
# A fence agent for the tests: the test itself, outside of the containers, cuts the power of the node that is named in
# the shared directory, and removes the name when that is done.
set -eu
requests=/srv/main-scheduler/fence

action=${1-}
action=${action#-o }
while [ -z "$action" ] || [ -z "${plug-}" ]; do
    read -r line || break
    case $line in
        action=*) action=${line#*=} ;;
        plug=* | port=*) plug=${line#*=} ;;
    esac
done

case $action in
    metadata)
        cat <<'XML'
<?xml version="1.0" ?>
<resource-agent name="fence_test" shortdesc="Cuts the power of a container">
<longdesc>For tests.</longdesc>
<parameters>
  <parameter name="action" unique="0" required="1"><content type="string" default="off"/><shortdesc lang="en">Action</shortdesc></parameter>
  <parameter name="plug" unique="0" required="0"><content type="string"/><shortdesc lang="en">Node</shortdesc></parameter>
</parameters>
<actions>
  <action name="on"/><action name="off"/><action name="reboot"/><action name="monitor"/><action name="metadata"/>
</actions>
</resource-agent>
XML
        ;;
    off | reboot)
        touch "$requests/$plug"
        while [ -e "$requests/$plug" ]; do sleep 0.1; done
        ;;
esac
