"""Names with $ or mp_ that Mixpanel gives a meaning.

From the documentation of default properties and from what its libraries send (seen);
the list cannot be complete, so that a name that is not in it is only worth a look.
"""

_WORDS = """
$ae_first_app_open_date $ae_iap_name $ae_iap_price $ae_iap_quantity
$ae_session_length $ae_total_app_session_length $ae_total_app_sessions
$ae_updated_version $android_app_version $android_app_version_code $android_brand
$android_devices $android_lib_version $android_manufacturer $android_model
$android_os $android_os_version $anon_distinct_id $anon_id $app_build_number
$app_release $app_version $app_version_string $avatar $bluetooth_enabled
$bluetooth_version $brand $browser $browser_version $carrier $city $country_code
$created $current_url $current_url_path $current_url_protocol $current_url_search
$device $device_id $distinct_id $distinct_ids $duration $email $event_name
$failure_description $first_name $geo_source $google_play_services
$had_persisted_distinct_id $has_nfc $has_telephone $identified_id $import
$initial_referrer $initial_referring_domain $insert_id $insert_key
$ios_app_release $ios_app_version $ios_device_model $ios_devices $ios_ifa
$ios_lib_version $ios_version $is_reshuffled $last_name $last_seen $latitude
$lib_version $locale $longitude $manufacturer $model $mp_api_endpoint
$mp_api_timestamp_ms $mp_autocapture $mp_session_end_sec $mp_session_id
$mp_session_seq_id $mp_session_start_sec $name $network_carrier $os $os_version
$phone $radio $referrer $referring_domain $region $screen_dpi $screen_height
$screen_width $search_engine $service_account $source $sync_device_time $timezone
$title $transactions $unsubscribed $user_agent $user_id $warehouse_import_id
$warehouse_type $watch_model $wifi
mp_country_code mp_device_model mp_event_size mp_keyword mp_lib
mp_original_distinct_id mp_original_event_name mp_platform mp_processing_time_ms
mp_replay_id mp_reserved_duration mp_sent_by_lib_version
"""

KNOWN_NAMES = frozenset(_WORDS.split())
